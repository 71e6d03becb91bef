"""The bundled model, as it is served, on photographs it was not trained on."""

import csv
import os
from collections import Counter

import pytest

from settings import ROOT
from tests.integration.images import SHARED
from tests.unit.predicting import loaded, result

MANIFEST = SHARED / "strawberry" / "manifest.csv"


@pytest.mark.skipif(not MANIFEST.is_file() and not os.environ.get("CI"), reason="no shared photographs here")
def test_the_leaf_model_is_right_on_the_validation_photographs() -> None:
    """At least 99 %, and 98 % of each class; the other figures: training/leaf/evaluate.py."""
    model = loaded(ROOT / "models", "strawberry")
    right, total = Counter[str](), Counter[str]()
    with MANIFEST.open() as file:
        for row in csv.DictReader(file):
            if row["split"] == "val" and row["class"] in ("healthy", "leaf_scorch"):
                photograph = (SHARED / "strawberry" / row["path"]).read_bytes()
                found = result(model, photograph, top_k=1)
                total[row["class"]] += 1
                right[row["class"]] += found["predictions"][0]["label"] == row["class"]
    assert total.total() > 200
    assert right.total() / total.total() >= 0.99
    assert all(right[name] / total[name] >= 0.98 for name in total)
