"""Boxes against boxes: overlap, matching, average precision. Needs numpy only.

Boxes are floats [n, 4]: xmin, ymin, xmax, ymax in pixels. Detections are rows [n, 6]: a box, its score, its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.photographs import FloatArray

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Matched:
    """Scores [n] of all detections, best first, whether each is right [n], and how many boxes there were to find."""

    scores: FloatArray
    right: Flags
    wanted: int


def shared_area(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Square pixels [n, m] that boxes [n, 4] and others [m, 4] have in common."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:4], others[None, :, 2:4])
    return np.asarray(np.maximum(high - low, 0).prod(axis=2))


def area(boxes: FloatArray) -> FloatArray:
    """Square pixels [n] of boxes [n, 4]."""
    return np.asarray((boxes[:, 2:4] - boxes[:, :2]).prod(axis=1))


def overlaps(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Intersection over union [n, m] of boxes [n, 4] and others [m, 4]."""
    inner = shared_area(boxes, others)
    union = area(boxes)[:, None] + area(others)[None] - inner
    return np.asarray(inner / np.maximum(union, 1e-9))


def claims(detections: FloatArray, boxes: FloatArray, least: float) -> Flags:
    """Which detections [n, 6], best first, get a box [m, 4]; each box is given once, to the best that overlaps it."""
    overlap = overlaps(detections, boxes)
    right = np.zeros(len(detections), dtype=bool)
    for row in range(len(detections) if len(boxes) else 0):
        box = int(overlap[row].argmax())
        right[row] = overlap[row, box] >= least
        if right[row]:
            overlap[:, box] = -1
    return right


def match(found: Sequence[FloatArray], wanted: Sequence[FloatArray], least: float) -> Matched:
    """Detections of all pictures against the boxes of all pictures, right from `least` overlap on."""
    right = np.concatenate([claims(*pair, least) for pair in zip(found, wanted, strict=True)])
    scores = np.concatenate([detections[:, 4] for detections in found])
    order = np.argsort(-scores, kind="stable")
    return Matched(scores[order], right[order], sum(len(boxes) for boxes in wanted))


def average_precision(matched: Matched) -> float:
    """Area under the curve of precision over recall, at all its points; precision never rises with recall."""
    hits = np.cumsum(matched.right)
    precision = hits / np.arange(1, len(hits) + 1)
    best_beyond = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_beyond[matched.right].sum() / matched.wanted)


def merge(detections: FloatArray, least: float = 0.6) -> FloatArray:
    """Detections [n, 6] of overlapping tiles without repetitions: the best first, none mostly inside a better one.

    What two boxes share is measured against the smaller one, as a tile's rim may have cut it.
    """
    detections = detections[np.argsort(-detections[:, 4], kind="stable")]
    smaller = np.minimum(area(detections)[:, None], area(detections)[None])
    same = shared_area(detections, detections) / np.maximum(smaller, 1e-9) >= least
    kept: list[int] = []
    for row in range(len(detections)):
        if not same[row, kept].any():
            kept.append(row)
    return detections[kept]
