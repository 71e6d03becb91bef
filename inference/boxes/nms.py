"""Overlap of boxes, and greedy non-maximum suppression. Pure."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
BLOCK = 64  # boxes compared with all worse ones in one go
Between = Callable[[NDArray, NDArray], Floats]  # the overlap (n, m) of each of n boxes with each of m others


def between_all(some: NDArray, others: NDArray) -> Floats:
    """(n, m) intersection over union of boxes (n, 4) xyxy with others (m, 4)."""
    return overlaps(some.T[:, :, None], others.T)


def suppress(boxes: NDArray, scores: NDArray, classes: NDArray | None, iou: float, *,
             tiles: NDArray | None = None, limit: int | None = None, between: Between = between_all) -> Indices:
    """Boxes (n, 4) xyxy, or others that `between` compares, and scores (n,) -> the rows that stay, best first, equal
    scores in the order given.

    The textbook algorithm: the best box stays and takes away all that overlap it by more than `iou`, then the best of
    the rest does. With `classes` (n,) only a box of the same class is taken away, with `tiles` (n,) only one of
    another tile. It ends once `limit` boxes stay, which changes nothing for these: none depends on a worse one.
    """
    rest = np.argsort(-scores, kind="stable")
    kept = rest[:0]
    while len(rest) and (limit is None or len(kept) < limit):
        block, rest = rest[:BLOCK], rest[BLOCK:]
        winners = block[_winners(_rivals(boxes, block, block, iou, classes, tiles, between))]
        rest = rest[~_rivals(boxes, winners, rest, iou, classes, tiles, between).any(axis=0)]
        kept = np.concatenate((kept, winners))
    return kept[:limit]


def _winners(rivals: NDArray[np.bool_]) -> list[int]:
    """Which of some boxes, best first, stay, by who takes whom away (n, n)."""
    alive = np.ones(len(rivals), bool)
    for best, lost in enumerate(rivals):
        if alive[best]:
            alive[best + 1:] &= ~lost[best + 1:]
    return alive.nonzero()[0].tolist()


def _rivals(boxes: NDArray, some: Indices, others: Indices, iou: float, classes: NDArray | None,
            tiles: NDArray | None, between: Between) -> NDArray[np.bool_]:
    """(n, m) whether a box of `some` and one of `others` cannot both stay."""
    rivals = between(boxes[some], boxes[others]) > iou
    if classes is not None:
        rivals &= classes[some][:, None] == classes[others]
    if tiles is not None:
        rivals &= tiles[some][:, None] != tiles[others]
    return rivals


def overlaps(box: NDArray, corners: NDArray) -> Floats:
    """Intersection over union of a box (4,) with boxes (4, n), a row for each corner; nan for two of no area."""
    shared = intersections(box, corners)
    with np.errstate(invalid="ignore"):
        return shared / (areas(box) + areas(corners) - shared)


def intersections(box: NDArray, corners: NDArray) -> Floats:
    """Area (n,) that a box (4,) shares with boxes (4, n); both may also be (4, n)."""
    width = np.minimum(box[2], corners[2]) - np.maximum(box[0], corners[0])
    height = np.minimum(box[3], corners[3]) - np.maximum(box[1], corners[1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def areas(corners: NDArray) -> Floats:
    """Area of a box (4,) or of boxes (4, n); 0 where right is left of left."""
    return np.maximum(corners[2] - corners[0], 0) * np.maximum(corners[3] - corners[1], 0)
