"""Boxes that are turned: (n, 5) centre x and y, width, height, and the width's angle in radians, clockwise. Pure.

Where a detector says more than one box of an object, Ultralytics suppresses by the ProbIoU of the Gaussians that the
boxes stand for (Llerena et al. 2021, https://arxiv.org/abs/2106.06072), in the manner of Fast NMS.
"""

import numpy as np
from numpy.typing import NDArray

from inference.geometry import Placement

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
BLOCK = 64  # boxes compared with all better ones in one go
SMALLEST = 1e-7  # as Ultralytics, against divisions by 0
FARTHEST = 100.0  # Bhattacharyya distance


def turned(boxes: NDArray, angles: NDArray) -> Floats:
    """Boxes (n, 4) xyxy as if they were not turned, and their angles (n,) -> (n, 5)."""
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return np.column_stack((middle, size, angles.astype(np.float64)))


def to_image(placement: Placement, boxes: Floats) -> Floats:
    """Boxes (n, 5) in pixels of the input -> the same in pixels of the image, also beyond its rim.

    Where the image was stretched, the box with the same middle and the same middles of its sides is given.
    """
    scale = np.array(placement.scale)
    middle = (boxes[:, :2] - placement.target[:2]) / scale + placement.source[:2]
    across, down = (vector / scale for vector in _halves(boxes))
    sides = 2 * np.hypot(*across.T), 2 * np.hypot(*down.T)
    return np.column_stack((middle, *sides, np.arctan2(across[:, 1], across[:, 0])))


def corners(boxes: Floats) -> Floats:
    """(n, 4, 2), around the box one after the other, as Ultralytics' xywhr2xyxyxyxy has them."""
    across, down = _halves(boxes)
    return boxes[:, np.newaxis, :2] + np.stack((across + down, across - down, -across - down, down - across), axis=1)


def upright(boxes: Floats) -> Floats:
    """The smallest boxes (n, 4) xyxy around them that are not turned."""
    points = corners(boxes)
    return np.concatenate((points.min(axis=1), points.max(axis=1)), axis=1)


def around(boxes: Floats, angle: float) -> Floats:
    """The smallest box (5,) with an angle around all boxes."""
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = corners(boxes).reshape(-1, 2) @ axes.T
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate(((low + high) / 2 @ axes, high - low, [angle]))


def overlaps(some: Floats, others: Floats) -> Floats:
    """(n, m) ProbIoU of boxes (n, 5) with boxes (m, 5): 1 for equal ones, about 0 for those that lie apart."""
    a, b, c = (one[:, np.newaxis] + other for one, other in zip(_spread(some), _spread(others), strict=True))
    x, y = (some[:, axis, np.newaxis] - others[:, axis] for axis in (0, 1))
    determinant = a * b - c ** 2
    apart = ((a * y ** 2 + b * x ** 2) / 4 - c * x * y / 2) / (determinant + SMALLEST)
    roots = np.sqrt(_determinant(some)[:, np.newaxis] * _determinant(others))
    unlike = np.log(determinant / (4 * roots + SMALLEST) + SMALLEST) / 2
    distance = np.clip(apart + unlike, SMALLEST, FARTHEST)  # Bhattacharyya's
    return 1 - np.sqrt(1 - np.exp(-distance) + SMALLEST)  # less Hellinger's


def suppress(boxes: Floats, scores: NDArray, classes: NDArray | None, iou: float, limit: int) -> Indices:
    """Boxes (n, 5) and scores (n,) -> the rows that stay, best first, at most `limit`.

    A box goes that any better one, of the same class where `classes` (n,) are given, overlaps by `iou` or more, also
    one that goes itself.
    """
    order = np.argsort(-scores, kind="stable")
    kept = order[:0]
    for start in range(0, len(order), BLOCK):
        if len(kept) >= limit:
            break
        block, better = order[start:start + BLOCK], order[:start + BLOCK]
        rivals = overlaps(boxes[block], boxes[better]) >= iou
        if classes is not None:
            rivals &= classes[block][:, np.newaxis] == classes[better]
        rivals &= np.arange(len(better)) < np.arange(start, start + len(block))[:, np.newaxis]
        kept = np.concatenate((kept, block[~rivals.any(axis=1)]))
    return kept[:limit]


def _halves(boxes: Floats) -> tuple[Floats, Floats]:
    """From the middle to the middles of the sides, (n, 2): along the width, and along the height."""
    cosine, sine = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return (np.column_stack((cosine, sine)) * boxes[:, 2:3] / 2, np.column_stack((-sine, cosine)) * boxes[:, 3:4] / 2)


def _spread(boxes: Floats) -> tuple[Floats, Floats, Floats]:
    """The covariances (n,) of boxes as Gaussians: of x, of y, and of both."""
    width, height = boxes[:, 2] ** 2 / 12, boxes[:, 3] ** 2 / 12
    cosine, sine = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return (width * cosine ** 2 + height * sine ** 2, width * sine ** 2 + height * cosine ** 2,
            (width - height) * cosine * sine)


def _determinant(boxes: Floats) -> Floats:
    a, b, c = _spread(boxes)
    return np.maximum(a * b - c ** 2, 0)
