"""The bundled model, through the engine that serves it, on photographs it was not trained on."""

import csv
import os
from collections import Counter

import pytest

from inference.engine import Engine
from settings import ROOT
from tests.integration.pictures import SHARED

MANIFEST = SHARED / "strawberry" / "manifest.csv"


@pytest.mark.skipif(not MANIFEST.is_file() and not os.environ.get("CI"), reason="no shared photographs here")
def test_the_leaf_model_is_right_on_the_validation_photographs() -> None:
    """At least 99 %, and 98 % of each class; the other figures: training/leaf/evaluate.py."""
    engine = Engine(ROOT / "models", 10**8)
    engine.load()
    parameters = engine.parameters("strawberry", {"top_k": 1})
    right, total = Counter[str](), Counter[str]()
    with MANIFEST.open() as file:
        for row in csv.DictReader(file):
            if row["split"] == "val" and row["class"] in ("healthy", "leaf_scorch"):
                photograph = (SHARED / "strawberry" / row["path"]).read_bytes()
                result = engine.predict("strawberry", engine.open(photograph), parameters).result
                total[row["class"]] += 1
                right[row["class"]] += result["predictions"][0]["label"] == row["class"]
    assert total.total() > 200
    assert right.total() / total.total() >= 0.99
    assert all(right[name] / total[name] >= 0.98 for name in total)
