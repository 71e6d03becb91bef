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


POSE = 'task = "keypoint-detection"\nlabels = ["a"]\n[output]\ncolumns = "box scores"\nkeypoints = [2, 3]\n'
TURNED = ROWS + 'oriented = true\nboxes = "cxcywh"'
NAMES = '[output.names]\n'
QUERIES = f'task = "image-segmentation"\nlabels = ["a", "b"]\n{NAMES}queries = "q"\nmasks = "m"'
OBJECTS = 'task = "image-segmentation"\nlabels = ["a", "b"]\n[output]\ncolumns = "box scores"\nboxes = "xyxy"\n' \
          f'{NAMES}boxes = "out"\nmasks = "m"'
HEATMAPS = f'task = "keypoint-detection"\n{NAMES}heatmaps = "out"'
FEATURES = 'task = "image-feature-extraction"\n[input]\nmean = 0'
CLASS_MAP = 'task = "image-segmentation"\n[input]\nmean = 0\n[output]\nactivation = "{}"'
RAMP = np.linspace(-3, 3, 64 * 64).reshape(64, 64)


def boxes(*box: float, scores: tuple[float, ...] = (0.9, 0.1), further: tuple[float, ...] = ()) -> NDArray:
    """[1, numbers, 20]: twenty boxes that are alike, each with its scores and what ends its row."""
    return np.repeat(np.array([*box, *scores, *further])[np.newaxis, :, np.newaxis], 20, axis=2)


def pose(*box: float, points: tuple[float, ...] = (10, 10, 0.9, 30, 30, 0.8)) -> NDArray:
    return boxes(*box, scores=(0.9,), further=points)


def queries(*logits: float) -> NDArray:
    """[1, 5, classes]: five queries that are alike."""
    return np.tile(np.array(logits), (1, 5, 1))


def masks(count: int, spread: float = 1.0) -> NDArray:
    return np.tile(RAMP * spread, (1, count, 1, 1))


@pytest.mark.parametrize(("toml", "outputs", "told"), [
    (CLASSES, np.array([[3.0, -2.0]]), "scores run from -2 to 3 instead of 0 to 1"),
    (CLASSES, np.array([[0.5, 0.5]]), "all classes get the same score"),
    (ROWS + 'boxes = "xyxy"', boxes(40, 40, 10, 10), "no positive width and height"),
    (ROWS + 'boxes = "xyxy"', boxes(0, 0, 64, 64), "most boxes are the whole image"),
    (POSES + 'boxes = "xyxy"', np.pad(boxes(40, 40, 10, 10), ((0, 0), (0, 2), (0, 0))), "no positive width and height"),
    (ROWS + 'boxes = "xyxy"', boxes(1, 1, 9, 9) * 2, "scores run from 0.2 to 1.8"),
    ('task = "image-to-image"', np.full((1, 3, 64, 64), 0.5), "has one colour"),
    ('task = "depth-estimation"', np.full((1, 64, 64), 2.0), "equally deep everywhere"),
    (ROWS + 'boxes = "xyxy"', boxes(10, 10, 40, 40, scores=(0.7, 0.7)), "all classes get the same score"),
    (POSE + 'boxes = "xyxy"', pose(40, 40, 10, 10), "no positive width and height"),
    (POSE + 'boxes = "xyxy"', pose(0, 0, 64, 64), "most boxes are the whole image"),
    (POSE + 'boxes = "xyxy"', pose(10, 10, 40, 40, points=(10, 10, 7, 30, 30, -4)), "scores run from -4 to 7"),
    (POSE + 'boxes = "xyxy"', pose(10, 10, 40, 40, points=(9, 9, 1, 9, 9, 1)), "all keypoints of an object are at one"),
    (HEATMAPS, np.full((1, 17, 16, 16), 0.5), "heat maps of a test image are the same everywhere"),
    (HEATMAPS, masks(17), "scores run from -3 to 3"),
    (TURNED, boxes(32, 32, -9, 9, further=(0.5,)), "no positive width and height"),
    (TURNED, boxes(32, 32, 64, 64, further=(0.0,)), "most boxes are the whole image"),
    (FEATURES, np.full((1, 128), 0.25), "all features of a test image are the same number"),
    (CLASS_MAP.format("softmax"), np.full((1, 3, 64, 64), 2.0), "all classes get the same score"),
    (CLASS_MAP.format("sigmoid"), np.zeros((1, 1, 64, 64)), "mask of a test image is the same everywhere"),
    ('task = "image-to-image"', np.linspace(-9, 9, 3 * 64 * 64).reshape(1, 3, 64, 64), "runs from -9 to 9"),
    ('task = "image-segmentation"\n[output]\nactivation = "none"', np.full((1, 2, 64, 64), 7.0), "scores run from 7"),
], ids=["logits", "equal", "negative sizes", "whole image", "negative sizes of poses", "high scores", "one colour",
        "flat depth", "equal of a box", "negative pose", "whole pose", "keypoints' scores", "one place",
        "flat heat maps", "high heat maps", "negative turned", "whole turned", "equal features", "equal map",
        "flat mask", "no image", "map of logits"])
def test_an_answer_that_cannot_be_meant_is_a_warning(tmp_path: Path, toml: str, outputs: NDArray, told: str) -> None:
    answering(put(tmp_path / "m", toml), {"out": outputs}, (1, 3, 64, 64))
    assert any(told in warning for warning in loaded(tmp_path).spec.warnings)


@pytest.mark.parametrize(("toml", "outputs", "told"), [
    (QUERIES, {"q": queries(1, 1, 1), "m": masks(5)}, "all classes get the same score"),
    (QUERIES, {"q": queries(3, 1, 0), "m": masks(5, spread=0)}, "masks of a test image are the same everywhere"),
    (OBJECTS, {"out": boxes(40, 40, 10, 10, further=(1.0,)), "m": masks(1)}, "no positive width and height"),
    (OBJECTS, {"out": boxes(0, 0, 64, 64, further=(1.0,)), "m": masks(1)}, "most boxes are the whole image"),
], ids=["equal queries", "flat masks", "negative objects", "whole objects"])
def test_answers_of_several_outputs_are_looked_at_too(tmp_path: Path, toml: str, outputs: dict[str, NDArray],
                                                      told: str) -> None:
    answering(put(tmp_path / "m", toml), outputs, (1, 3, 64, 64))
    assert any(told in warning for warning in loaded(tmp_path).spec.warnings)


@pytest.mark.parametrize(("returned", "told"), [
    ('[{"label": "a", "score": 7.5}]', "scores run from 7.5 to 7.5"),
    ('[{"label": "a", "score": 0.5, "box": {"xmin": 9, "ymin": 9, "xmax": 3, "ymax": 3}}]', "no positive width"),
    ('[{"label": "a", "score": 0.5, "box": {"xmin": 0, "ymin": 0, "xmax": 64, "ymax": 64}}]', "the whole image"),
    ('[{"label": "a", "score": 0.5, "box": {"xmin": 3, "ymin": 3, "xmax": 9, "ymax": 9}}]', ""),
    ('{"count": 7}', ""),
])
def test_what_a_hook_tells_is_looked_at_too(tmp_path: Path, returned: str, told: str) -> None:
    folder = put(tmp_path / "m", CLASSES).parent
    answering(folder / "model.onnx", {"out": np.array([[3.0, -2.0]])}, (1, 3, 64, 64))
    (folder / "hooks.py").write_text(f"def postprocess(outputs, context): return {returned}")
    warnings = loaded(tmp_path).spec.warnings
    assert [told in warning for warning in warnings] == [True] * bool(told)


@pytest.mark.parametrize(("toml", "outputs"), [
    (POSE + 'boxes = "xyxy"', pose(10, 10, 40, 40)),
    (TURNED, boxes(32, 32, 9, 9, further=(0.5,))),
    (FEATURES, np.linspace(-1, 1, 128)[np.newaxis]),
    (CLASS_MAP.format("softmax"), np.stack([RAMP, -RAMP])[np.newaxis]),
    ('task = "image-classification"\n[input]\nmean = 0', np.array([[3.0, -2.0]])),
    (ROWS + 'boxes = "cxcywh"', boxes(30, 30, 10, 10)),
    ('task = "depth-estimation"\n[input]\nmean = 0', np.arange(64.0 * 64).reshape(1, 64, 64)),
    ('task = "image-to-image"', np.linspace(0, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)),
], ids=["pose", "turned", "features", "map", "classifier", "detector", "depth", "image"])
def test_an_honest_model_has_no_warning(tmp_path: Path, toml: str, outputs: NDArray) -> None:
    answering(put(tmp_path / "m", toml), {"out": outputs}, (1, 3, 64, 64))
    assert loaded(tmp_path).spec.warnings == ()


def test_a_regression_may_be_any_number(tmp_path: Path) -> None:
    folder = put(tmp_path / "m", "[input]\nmean = 0").parent
    answering(folder / "model.onnx", {"logits": np.array([[37.5]])}, (1, 3, 64, 64))
    config = '{"architectures": ["ViTForImageClassification"], "problem_type": "regression"}'
    (folder / "config.json").write_text(config)
    assert loaded(tmp_path).spec.warnings == ()
