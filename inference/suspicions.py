"""What looks wrong in a model's answers to a test image, in plain words: for its warnings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.boxes.encodings import decode, sound
from inference.boxes.rows import Rows, find_rows
from inference.calibration import synthetic_image
from inference.call_off import CallOff
from inference.findings.sources import CONFIG
from inference.geometry import Placement, place
from inference.image import Pixels
from inference.model import LoadedModel
from inference.model_info import warm_up_size
from inference.spec import Finding, ModelSpec, OutputSpec
from inference.tasks.detection import candidates
from inference.tasks.keypoints import Poses

TOLERANCE = 1e-3  # of scores; FP16 and quantised models leave 0..1 by a little
HEAT = 0.2  # of the heights of heat maps, which are learned, and not made by a sigmoid
MOST = 0.5  # of a detector's boxes
WHOLE = 0.98  # of the image's area
ONE_COLOR = 1.0  # grey levels
LAST_BIT = 1e-7  # of scores that are equal
CUT_OFF = 0.2  # of the values of a produced image: overshoot at edges is less
BY_PIXELS = "look at [input] scale, mean and std, or export the model again"
EQUAL = f"all classes get the same score for a test image: {BY_PIXELS}"
NO_SIZE = "most boxes have no positive width and height for a test image: look at {}"
WHOLE_IMAGE = "most boxes are the whole image for a test image: look at {}"
BY_HOOK = "postprocess of hooks.py"


@dataclass(frozen=True)
class _Answer:
    """The outputs of a model for a test image that lies at `placement`."""

    model: LoadedModel
    outputs: Mapping[str, NDArray]
    placement: Placement
    parameters: Any

    @property
    def spec(self) -> ModelSpec:
        return self.model.spec

    @property
    def output(self) -> OutputSpec:
        return self.spec.output

    def value(self) -> Any:
        """What the task reads of it."""
        return self.model.task.read(self.outputs, self.spec, self.placement, self.parameters)


def suspicions(model: LoadedModel, answers: Mapping[str, NDArray[np.generic]] | None) -> list[str]:
    """Warnings about answers that cannot be meant. `answers` are the outputs for a test image, None for the model to be
    run on one.

    Raises:
        InferenceFailed: the model cannot predict.
    """
    size, parameters = warm_up_size(model.spec), model.parameters({})
    placement = place(size, model.spec.input)
    outputs = answers or model.run(model.feeds(Pixels(synthetic_image(size)), [placement]), 1, CallOff())[0]
    if model.hooks.postprocess is not None:
        return _told(model.hooks.result(outputs, model.spec, placement, parameters.model_dump()), size)
    return _suspects(model.spec)(_Answer(model, outputs, placement, parameters))


def _suspects(spec: ModelSpec) -> Callable[[_Answer], list[str]]:
    if spec.has_mask_queries:
        return _queries
    if "heatmaps" in spec.output.names:
        return _heatmaps
    return _detector if spec.tells_objects else _SUSPECTS[spec.task]


# Scores


def _classifier(answer: _Answer) -> list[str]:
    scores = answer.value().scores
    if Finding("activation", "none", CONFIG) in answer.spec.findings:  # a regression: any number is meant
        return []
    return _scores(scores) + _equal(scores, 0)


def _scores(scores: NDArray, tolerance: float = TOLERANCE) -> list[str]:
    if scores.size and (scores.min() < -tolerance or scores.max() > 1 + tolerance):
        return [f"scores run from {scores.min():.3g} to {scores.max():.3g} instead of 0 to 1: look at [output] "
                'activation: "softmax" or "sigmoid" make scores of any numbers']
    return []


def _equal(scores: NDArray, axis: int) -> list[str]:
    """Whether the classes along an axis, of which there are several, always have the same score."""
    return [EQUAL] * bool(scores.size and scores.shape[axis] > 1 and np.ptp(scores, axis=axis).max() < LAST_BIT)


# Boxes


def _detector(answer: _Answer) -> list[str]:
    """Of the boxes that a caller would be told: weights that are not trained give any boxes, with scores near 0."""
    rows, output = find_rows(answer.outputs, answer.spec, answer.placement.input_size), answer.output
    found = [] if output.activation != "none" else _scores(_all_scores(rows))
    likely, _ = candidates(rows, output, output.threshold)
    if not len(likely):
        return found
    size = answer.placement.input_size
    boxes = decode(rows.boxes, likely, output, size)
    return found + _equal(rows.scores[likely], 1) + _boxes(boxes, size, "[output] boxes, columns and units")


def _all_scores(rows: Rows) -> NDArray[np.float64]:
    parts = [rows.scores.ravel(), *([] if rows.objectness is None else [rows.objectness.ravel()])]
    return np.concatenate(parts).astype(np.float64)


def _boxes(boxes: NDArray, size: tuple[int, int], where: str) -> list[str]:
    """Of boxes (n, 4) as corners on an image of this width and height."""
    if 1 - sound(boxes).mean() > MOST:
        return [NO_SIZE.format(where)]
    width, height = size
    shares = (np.minimum(boxes[:, 2:], (width, height)) - np.maximum(boxes[:, :2], 0)).clip(0).prod(axis=1)
    return [WHOLE_IMAGE.format(where)] * bool((shares > WHOLE * width * height).mean() > MOST)


def _keypoints(answer: _Answer) -> list[str]:
    found, poses = _detector(answer), answer.value()
    return found + _points(poses) if len(poses.detections) else found


def _heatmaps(answer: _Answer) -> list[str]:
    maps = answer.outputs[answer.output.names["heatmaps"]].astype(np.float64)
    if maps.size and np.ptp(maps, axis=(2, 3)).max() == 0:
        return [f"the heat maps of a test image are the same everywhere: {BY_PIXELS}"]
    return _scores(maps, HEAT)


def _points(poses: Poses) -> list[str]:
    """Of objects, at least one, with their keypoints."""
    found = [] if poses.scores is None else _scores(poses.scores)
    if poses.points.shape[1] > 1 and np.ptp(poses.points, axis=1).max() == 0:
        found.append("all keypoints of an object are at one place for a test image: look at [output] keypoints and "
                     "columns")
    return found


# Pictures


def _image(answer: _Answer) -> list[str]:
    name = answer.output.names.get("image") or next(iter(answer.outputs))
    values = answer.outputs[name]
    found = _beyond(values, *sorted(answer.output.range)) if values.dtype.kind == "f" else []
    if float(np.std(answer.value(), axis=(0, 1)).max()) < ONE_COLOR:
        found.append("the image that is made of a test image has one colour: look at [output] range and [input] scale, "
                     "mean and std")
    return found


def _beyond(values: NDArray, black: float, white: float) -> list[str]:
    if np.mean((values < black) | (values > white)) < CUT_OFF:
        return []
    return [f"what is made of a test image runs from {values.min():.3g} to {values.max():.3g}, beyond [output] range "
            f"{black:g} to {white:g}: look at range, or at task, if it is no image"]


def _segmenter(answer: _Answer) -> list[str]:
    value = answer.value()
    if value.kind == "numbers":
        return []
    values = value.grid.values
    flat = len(values) == 1 and 0 < values.flat[0] < 1 and np.ptp(values) == 0  # neither nothing nor all
    return _scores(values) + _equal(values, 0) + [
        f"the mask of a test image is the same everywhere: {BY_PIXELS}"] * bool(flat)


def _queries(answer: _Answer) -> list[str]:
    names = answer.output.names
    logits, masks = (answer.outputs[names[role]].astype(np.float64) for role in ("queries", "masks"))
    found = _scores(logits) if answer.output.activation == "none" else []
    flat = masks.size and np.ptp(masks, axis=(2, 3)).max() == 0
    return found + _equal(logits, 2) + [f"the masks of a test image are the same everywhere: {BY_PIXELS}"] * bool(flat)


def _depth(answer: _Answer) -> list[str]:
    values = answer.value().values
    return [f"a test image is equally deep everywhere: {BY_PIXELS}"] * bool(values.size > 1 and np.ptp(values) == 0)


# Numbers


def _features(answer: _Answer) -> list[str]:
    vector = answer.value()
    return [f"all features of a test image are the same number: {BY_PIXELS}"] * bool(
        vector.size > 1 and np.ptp(vector) == 0)


def _nothing(answer: _Answer) -> list[str]:
    return []


_SUSPECTS: Mapping[str, Callable[[_Answer], list[str]]] = {
    "image-classification": _classifier, "object-detection": _detector, "keypoint-detection": _keypoints,
    "image-segmentation": _segmenter, "depth-estimation": _depth, "image-feature-extraction": _features,
    "image-to-image": _image, "tensor": _nothing}


# What hooks.py makes of it


def _told(result: Mapping[str, Any], size: tuple[int, int]) -> list[str]:
    """Of the predictions in a hook's result, where they have the contract's fields."""
    listed = result.get("predictions")
    predictions = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    scores = np.array([one["score"] for one in predictions if isinstance(one.get("score"), Real)], np.float64)
    boxes = [box for one in predictions if (box := _corners(one.get("box"))) is not None]
    found = [f"{BY_HOOK}: {text.split(':')[0]}" for text in _scores(scores)]
    return found + (_boxes(np.array(boxes, np.float64), size, BY_HOOK) if boxes else [])


def _corners(box: Any) -> list[float] | None:
    sides = [box.get(key) for key in ("xmin", "ymin", "xmax", "ymax")] if isinstance(box, dict) else []
    numbers = [float(side) for side in sides if isinstance(side, Real)]
    return numbers if len(numbers) == len(sides) > 0 else None
