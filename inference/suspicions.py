"""What looks wrong in a model's answers to a test image, in plain words: for its warnings."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.boxes.encodings import decode, sound
from inference.boxes.rows import find_rows
from inference.calibration import synthetic_image
from inference.call_off import CallOff
from inference.findings.sources import CONFIG
from inference.geometry import Placement, place
from inference.image import Pixels
from inference.model import LoadedModel
from inference.model_info import warm_up_size
from inference.spec import Finding
from inference.tasks.classification import Classified
from inference.tasks.depth import Depth
from inference.tasks.detection import Detections, candidates

TOLERANCE = 1e-3  # of scores; FP16 and quantised models leave 0..1 by a little
MOST = 0.5  # of a detector's boxes
WHOLE = 0.98  # of the image's area
ONE_COLOR = 1.0  # grey levels
CUT_OFF = 0.2  # of the values of a produced image: overshoot at edges is less


def suspicions(model: LoadedModel, answers: Mapping[str, NDArray[np.generic]] | None) -> list[str]:
    """Warnings about answers that cannot be meant. `answers` are the outputs for a test image, None for the model to be
    run on one.

    Raises:
        InferenceFailed: the model cannot predict.
    """
    size, parameters = warm_up_size(model.spec), model.parameters({})
    if model.hooks or model.spec.task not in _SUSPECTS:
        return []
    placement = place(size, model.spec.input)
    outputs = answers or model.run(model.feeds(Pixels(synthetic_image(size)), [placement]), 1, CallOff())[0]
    return _SUSPECTS[model.spec.task](model, outputs, placement, parameters)


def _classifier(model: LoadedModel, outputs: Any, placement: Placement, parameters: Any) -> list[str]:
    value: Classified = model.task.read(outputs, model.spec, placement, parameters)
    regression = Finding("activation", "none", CONFIG) in model.spec.findings  # any number is meant
    found = [] if regression else _scores(value.scores)
    if len(value.scores) > 1 and np.ptp(value.scores) == 0:
        found.append("all classes get the same score for a test image: look at [input] scale, mean and std, or export "
                     "the model again")
    return found


def _scores(scores: Any) -> list[str]:
    if scores.size and (scores.min() < -TOLERANCE or scores.max() > 1 + TOLERANCE):
        return [f"scores run from {scores.min():.3g} to {scores.max():.3g} instead of 0 to 1: look at [output] "
                'activation: "softmax" or "sigmoid" make scores of any numbers']
    return []


def _detector(model: LoadedModel, outputs: Any, placement: Placement, parameters: Any) -> list[str]:
    """Of the boxes that a caller would be told: weights that are not trained give any boxes, with scores near 0."""
    if "heatmaps" in model.spec.output.names:
        return []
    rows, output = find_rows(outputs, model.spec, placement.input_size), model.spec.output
    found = [] if output.activation != "none" else _scores(rows.scores.astype(np.float64))
    likely, _ = candidates(rows, output, output.threshold)
    if not len(likely):
        return found
    boxes = decode(rows.boxes, likely, output, placement.input_size)
    if 1 - sound(boxes).mean() > MOST:
        return [*found, "most boxes have no positive width and height for a test image: look at [output] boxes and "
                        "columns"]
    width, height = placement.input_size
    shares = (np.minimum(boxes[:, 2:], (width, height)) - np.maximum(boxes[:, :2], 0)).clip(0).prod(axis=1)
    if (shares > WHOLE * width * height).mean() > MOST:
        found.append("most boxes are the whole image for a test image: look at [output] boxes and units")
    return found


def _image(model: LoadedModel, outputs: Any, placement: Placement, parameters: Any) -> list[str]:
    name = model.spec.output.names.get("image") or next(iter(outputs))
    found = _beyond(outputs[name], *sorted(model.spec.output.range)) if outputs[name].dtype.kind == "f" else []
    pixels = model.task.read(outputs, model.spec, placement, parameters)
    if float(np.std(pixels, axis=(0, 1)).max()) < ONE_COLOR:
        found.append("the image that is made of a test image has one colour: look at [output] range and [input] scale, "
                     "mean and std")
    return found


def _beyond(values: NDArray, black: float, white: float) -> list[str]:
    if np.mean((values < black) | (values > white)) < CUT_OFF:
        return []
    return [f"what is made of a test image runs from {values.min():.3g} to {values.max():.3g}, beyond [output] range "
            f"{black:g} to {white:g}: look at range, or at task, if it is no image"]


def _segmenter(model: LoadedModel, outputs: Any, placement: Placement, parameters: Any) -> list[str]:
    value = model.task.read(outputs, model.spec, placement, parameters)
    if isinstance(value, Detections) or getattr(value, "kind", "numbers") == "numbers":
        return []
    return _scores(value.grid.values)


def _depth(model: LoadedModel, outputs: Any, placement: Placement, parameters: Any) -> list[str]:
    value: Depth = model.task.read(outputs, model.spec, placement, parameters)
    if value.values.size > 1 and np.ptp(value.values) == 0:
        return ["a test image is equally deep everywhere: look at [input] scale, mean and std, or export the "
                "model again"]
    return []


_SUSPECTS = {"image-classification": _classifier, "object-detection": _detector,
             "keypoint-detection": _detector, "image-to-image": _image,
             "image-segmentation": _segmenter, "depth-estimation": _depth}
