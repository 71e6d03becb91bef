"""A model that is served though its answers cannot be meant says so in its warnings."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.answering import answering
from tests.unit.predicting import loaded
from tests.unit.test_test_images import put

CLASSES = 'task = "image-classification"\n[input]\nmean = 0\n[output]\nactivation = "none"'
ROWS = 'task = "object-detection"\nlabels = ["a", "b"]\n[output]\ncolumns = "box scores"\n'
POSES = 'task = "keypoint-detection"\nlabels = ["a", "b"]\n[output]\ncolumns = "box scores"\nkeypoints = [1, 2]\n'


def boxes(*box: float) -> NDArray:
    """[1, 6, 20]: twenty boxes that are alike, each with two scores."""
    return np.repeat(np.array([*box, 0.9, 0.1])[np.newaxis, :, np.newaxis], 20, axis=2)


@pytest.mark.parametrize(("toml", "outputs", "told"), [
    (CLASSES, np.array([[3.0, -2.0]]), "scores run from -2 to 3 instead of 0 to 1"),
    (CLASSES, np.array([[0.5, 0.5]]), "all classes get the same score"),
    (ROWS + 'boxes = "xyxy"', boxes(40, 40, 10, 10), "no positive width and height"),
    (ROWS + 'boxes = "xyxy"', boxes(0, 0, 64, 64), "most boxes are the whole image"),
    (POSES + 'boxes = "xyxy"', np.pad(boxes(40, 40, 10, 10), ((0, 0), (0, 2), (0, 0))), "no positive width and height"),
    (ROWS + 'boxes = "xyxy"', boxes(1, 1, 9, 9) * 2, "scores run from 0.2 to 1.8"),
    ('task = "image-to-image"', np.full((1, 3, 64, 64), 0.5), "has one colour"),
    ('task = "depth-estimation"', np.full((1, 64, 64), 2.0), "equally deep everywhere"),
    ('task = "image-to-image"', np.linspace(-9, 9, 3 * 64 * 64).reshape(1, 3, 64, 64), "runs from -9 to 9"),
    ('task = "image-segmentation"\n[output]\nactivation = "none"', np.full((1, 2, 64, 64), 7.0), "scores run from 7"),
], ids=["logits", "equal", "negative sizes", "whole image", "negative sizes of poses", "high scores", "one colour",
        "flat depth", "no image", "map of logits"])
def test_an_answer_that_cannot_be_meant_is_a_warning(tmp_path: Path, toml: str, outputs: NDArray, told: str) -> None:
    answering(put(tmp_path / "m", toml), {"out": outputs}, (1, 3, 64, 64))
    assert any(told in warning for warning in loaded(tmp_path).spec.warnings)


@pytest.mark.parametrize(("toml", "outputs"), [
    ('task = "image-classification"\n[input]\nmean = 0', np.array([[3.0, -2.0]])),
    (ROWS + 'boxes = "cxcywh"', boxes(30, 30, 10, 10)),
    ('task = "depth-estimation"\n[input]\nmean = 0', np.arange(64.0 * 64).reshape(1, 64, 64)),
    ('task = "image-to-image"', np.linspace(0, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)),
], ids=["classifier", "detector", "depth", "image"])
def test_an_honest_model_has_no_warning(tmp_path: Path, toml: str, outputs: NDArray) -> None:
    answering(put(tmp_path / "m", toml), {"out": outputs}, (1, 3, 64, 64))
    assert loaded(tmp_path).spec.warnings == ()


def test_a_regression_may_be_any_number(tmp_path: Path) -> None:
    folder = put(tmp_path / "m", "[input]\nmean = 0").parent
    answering(folder / "model.onnx", {"logits": np.array([[37.5]])}, (1, 3, 64, 64))
    config = '{"architectures": ["ViTForImageClassification"], "problem_type": "regression"}'
    (folder / "config.json").write_text(config)
    assert loaded(tmp_path).spec.warnings == ()
