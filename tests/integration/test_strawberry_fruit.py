"""The bundled detector, as it is served: field photographs, leaves, drone photographs, a mosaic."""

import csv
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.model import LoadedModel
from settings import ROOT
from tests.integration.images import SHARED, encoded
from tests.unit.predicting import loaded, result
from training.fruit.scoring import average_precision, match, overlaps

FRUIT = SHARED / "strawberry" / "fruit_detection"
MODEL = "strawberry-fruit"
SIDE, COLUMNS = 640, 10  # a mosaic of 10 by 9 frames has 36.9 megapixels
FRAMES = 90
DECODED_MB = SIDE * SIDE * FRAMES * 3 / 1e6
PEAK = """
import json, pathlib, sys
from inference.image import open_image
from inference.prediction import predict
from tests.unit.predicting import loaded
model = loaded(pathlib.Path("models"), "strawberry-fruit")
peak_mb = lambda: int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1.024e-3
data = pathlib.Path(sys.argv[1]).read_bytes()
before_mb = peak_mb()
result = predict(model, open_image(data, 10**8), model.parameters({})).result
print(json.dumps({"result": result, "grown_mb": peak_mb() - before_mb}))
"""

pytestmark = pytest.mark.skipif(not FRUIT.is_dir() and not os.environ.get("CI"), reason="no shared photographs here")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return loaded(ROOT / "models", MODEL)


def found(model: LoadedModel, path: Path, **asked: object) -> NDArray[np.float32]:
    """Detections (n, 6) of a photograph: xyxy in pixels, score, class."""
    return rows(result(model, path.read_bytes(), **asked))


def rows(told: dict) -> NDArray[np.float32]:
    found = [[*item["box"].values(), item["score"], 0] for item in told["predictions"]]
    return np.array(found, np.float32).reshape(-1, 6)


def labelled(path: Path) -> NDArray:
    """The boxes (n, 4) of a YOLO text file, xyxy in pixels."""
    numbers = np.array([line.split()[1:] for line in path.read_text().splitlines() if line], float).reshape(-1, 4)
    centre, half = numbers[:, :2] * SIDE, numbers[:, 2:] * SIDE / 2
    return np.hstack([centre - half, centre + half])


@cache
def manifest(name: str) -> list[dict[str, str]]:
    with (SHARED / "strawberry" / name).open() as file:
        return list(csv.DictReader(file))


def test_it_finds_the_ripe_fruit_of_the_validation_frames(model: LoadedModel) -> None:
    frames = [row for row in manifest("fruit_detection/manifest.csv") if row["split"] == "val"]
    wanted = [labelled(SHARED / "strawberry" / row["label"]) for row in frames]
    detections = [found(model, SHARED / "strawberry" / row["path"], threshold=0.01, top_k=100) for row in frames]
    precision = {least: average_precision(match(detections, wanted, least)) for least in (0.5, 0.75)}
    print(f"AP50 {precision[0.5]:.3f}, AP75 {precision[0.75]:.3f}")
    assert len(frames) > 20
    assert precision[0.5] >= 0.85
    assert precision[0.75] >= 0.55


def test_it_finds_no_fruit_on_leaves(model: LoadedModel) -> None:
    leaves = [SHARED / "strawberry" / row["path"] for row in manifest("manifest.csv")
              if row["split"] == "val" and "leaf" in row["path"]]
    clean = [len(found(model, path)) == 0 for path in leaves]
    print(f"{sum(clean)} of {len(clean)} leaf photographs without a box")
    assert len(clean) > 200
    assert np.mean(clean) >= 0.95


@pytest.mark.parametrize("tile", [None, 0], ids=["in tiles", "whole"])
@pytest.mark.parametrize("path", sorted((SHARED / "large").glob("*.jpg")), ids=lambda path: path.stem)
def test_it_finds_no_fruit_from_a_drone(model: LoadedModel, path: Path, tile: int | None) -> None:
    assert found(model, path, **({} if tile is None else {"tile": tile})).tolist() == []


def test_a_mosaic_of_36_megapixels_shows_the_fruit_of_its_frames(model: LoadedModel, tmp_path: Path) -> None:
    frames = [SHARED / "strawberry" / row["path"] for row in manifest("fruit_detection/manifest.csv")]
    chosen = (frames[-26:] + frames)[:FRAMES]
    mosaic = Image.new("RGB", (COLUMNS * SIDE, FRAMES // COLUMNS * SIDE))
    singles = []
    for number, path in enumerate(chosen):
        left, top = number % COLUMNS * SIDE, number // COLUMNS * SIDE
        mosaic.paste(Image.open(path), (left, top))
        singles.append(found(model, path)[:, :4] + (left, top, left, top))
    (tmp_path / "mosaic.jpg").write_bytes(encoded(mosaic, quality=97, subsampling=0))
    told = json.loads(subprocess.run([sys.executable, "-c", PEAK, str(tmp_path / "mosaic.jpg")], cwd=ROOT, check=True,
                                     capture_output=True, text=True).stdout)
    wanted, boxes = np.concatenate(singles), rows(told["result"])[:, :4]
    again = (overlaps(wanted, boxes).max(axis=1) >= 0.5).mean()
    print(f"{again:.1%} of {len(wanted)} found again, {len(boxes)} in all, {told['grown_mb']:.0f} MB")
    assert len(wanted) > 200
    assert again >= 0.95
    assert told["grown_mb"] <= DECODED_MB + 200
