"""Detections made up for the tests, written down in the ways of the field's detectors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference.boxes.encodings import cells
from inference.geometry import Placement
from inference.spec import InputSpec, ModelSpec, OutputSpec, Size

LABELS = ("cat", "dog", "owl")
INPUT: Size = (64, 48)
STRIDES = (8, 16)
CELLS = 8 * 6 + 4 * 3
STRETCHED = Placement((128, 144), (0, 0, 128, 144), INPUT, (0, 0, *INPUT))  # 2 and 3 pixels of the image for one
TO_IMAGE = (2, 3, 2, 3)
OBJECTNESS = 0.98


@dataclass(frozen=True)
class Found:
    """What a model is to find: boxes (n, 4) xyxy in pixels of its input, the scores (n, 3), and of these the best."""

    boxes: NDArray
    table: NDArray

    @property
    def classes(self) -> NDArray:
        return self.table.argmax(axis=1)

    @property
    def scores(self) -> NDArray:
        return self.table.max(axis=1)

    def best_first(self) -> list[tuple[int, float, list[float]]]:
        """Class, score and box in pixels of the stretched image."""
        rows = np.argsort(-self.scores)
        return [(int(self.classes[row]), self.scores[row], list(self.boxes[row] * TO_IMAGE)) for row in rows]


def found(count: int, seed: int = 0) -> Found:
    """Random ones of each class, within the input; a row's scores add up to less than 1."""
    random = np.random.default_rng(seed)
    corners = random.uniform((0, 0), (INPUT[0] - 12, INPUT[1] - 12), (count, 2))
    table = random.uniform(0.001, 0.02, (count, 3))
    table[np.arange(count), random.integers(0, 3, count)] = random.permutation(np.linspace(0.3, 0.95, count))
    return Found(np.concatenate((corners, corners + random.uniform(2, 12, (count, 2))), axis=1), table)


def spec(*, labels: tuple[str, ...] = LABELS, names: dict[str, str] | None = None, **output: Any) -> ModelSpec:
    wanted = {"nms": "none"} | output
    return ModelSpec("m", "1", "object-detection", labels, InputSpec("image", INPUT), OutputSpec(names or {}, **wanted))


def encoded(boxes: NDArray, encoding: str) -> NDArray:
    """Boxes xyxy as a model writes them; for "grid" and "ltrb" one for each cell of the input."""
    low, high = boxes[:, :2], boxes[:, 2:]
    if encoding == "yxyx":
        return boxes[:, [1, 0, 3, 2]]
    if encoding == "xywh":
        return np.concatenate((low, high - low), axis=1)
    if encoding == "cxcywh":
        return np.concatenate(((low + high) / 2, high - low), axis=1)
    if encoding == "xyxy":
        return boxes
    cell, stride = cells(STRIDES, INPUT)[:, :2], cells(STRIDES, INPUT)[:, 2:]
    if encoding == "grid":
        return np.concatenate(((low + high) / 2 / stride - cell, np.log((high - low) / stride)), axis=1)
    return np.concatenate(((cell + 0.5) - low / stride, high / stride - (cell + 0.5)), axis=1)


def maps(rows: NDArray) -> list[NDArray]:
    """Rows (60, K), one for each cell -> a map [1, K, h, w] for each stride."""
    fine, coarse = rows[:48].T.reshape(1, -1, 6, 8), rows[48:].T.reshape(1, -1, 3, 4)
    return [fine.astype(np.float32), coarse.astype(np.float32)]


def logit(scores: NDArray) -> NDArray:
    return np.log(scores) - np.log1p(-scores)


def beside(*columns: ArrayLike) -> NDArray:
    """Columns (n,) or (n, k) as one array of float32, with the batch axis."""
    return np.column_stack([np.asarray(column) for column in columns]).astype(np.float32)[None]


def with_scores(value: Found, encoding: str = "xyxy") -> NDArray:
    return beside(encoded(value.boxes, encoding), value.table)


def with_objectness(value: Found, encoding: str = "xyxy") -> NDArray:
    return beside(encoded(value.boxes, encoding), np.full(len(value.boxes), OBJECTNESS), value.table / OBJECTNESS)


def with_class(value: Found) -> NDArray:
    return beside(value.boxes, value.scores, value.classes)
