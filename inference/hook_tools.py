"""What a hooks.py may import: the arithmetic of the built-in detectors, on numpy arrays.

    from inference.hook_tools import boxes_of, nms, sigmoid, softmax

Boxes are xyxy: left, top, right, bottom. These names stay what they are from release to release.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference.boxes import encodings
from inference.boxes.nms import suppress
from inference.model_toml import Boxes, Point, Units
from inference.spec import OutputSpec, Size

Floats = NDArray[np.float64]


def nms(boxes: ArrayLike, scores: ArrayLike, classes: ArrayLike | None = None, iou: float = 0.7,
        limit: int | None = None) -> NDArray[np.intp]:
    """The rows that stay, best first: the best box takes away all that overlap it by more than `iou`, then the best of
    the rest does.

    Args:
        boxes: (n, 4) xyxy in any unit.
        scores: (n,)
        classes: (n,) numbers; with them a box takes away only those of its own class.
        limit: the most rows that are given back.
    """
    return suppress(np.asarray(boxes, np.float64).reshape(-1, encodings.BOX), np.asarray(scores, np.float64),
                    None if classes is None else np.asarray(classes), iou, limit=limit)


def boxes_of(numbers: ArrayLike, encoding: Boxes, input_size: Size, *, units: Units = "pixels",
             strides: tuple[int, ...] = (8, 16, 32), point: Point = "center") -> Floats:
    """Boxes as a model writes them -> (n, 4) xyxy in pixels of the model's input. The words are those of `[output]` in
    model.toml.

    Args:
        numbers: (n, 4), for "dfl" (n, 4 * bins); for "grid", "ltrb", "dfl" and "tanh" one or two rows for each cell of
            the strides, stride by stride and row by row.
        input_size: width and height in pixels.

    Raises:
        ValueError: on a grid, where n is not one or two for each cell.
    """
    raw = np.asarray(numbers, np.float64)
    output = OutputSpec({}, boxes=encoding, units=units, strides=tuple(strides), point=point)
    return encodings.decode(raw, np.arange(len(raw)), output, input_size)


def sigmoid(logits: ArrayLike) -> Floats:
    """1 / (1 + e^-x) of each number."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))


def softmax(logits: ArrayLike, axis: int = -1) -> Floats:
    """Logits as shares that sum to 1 along an axis."""
    values = np.asarray(logits, np.float64)
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)
