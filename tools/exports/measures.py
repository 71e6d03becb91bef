"""How far one answer is from another, in the unit of its task, and how far it may be.

The limits are wider than rounding asks for: a score moves with one grey level of the image, and weights that are not
trained are more easily moved than others.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.exports.references import Answer

SCORE = 0.02  # of a number that is no score, of its size
PIXELS = 3.0  # of boxes, corners and keypoints
SAME, ALIKE = 5.0, 0.05  # pixels and score: what is farther away is another object
MASK = 0.05  # of the rectangle around an object's mask, and of a thousand pixels at least; the objects' mean
SHARE = 0.01  # of an image's pixels that get another class; of a depth's spread; of an embedding's length
MISSING = 0.02  # of the objects, or one
LEVELS = 2.0  # of 255, of nearly all of a picture's pixels
NEARLY_ALL = 0.999
NOTHING = "nothing to compare"


@dataclass(frozen=True)
class Difference:
    """The largest difference in words; a `share` up to 1 of what is allowed is small."""

    text: str
    share: float

    @property
    def is_small(self) -> bool:
        return self.share <= 1

    def __str__(self) -> str:
        return self.text


def difference(told: Answer, wanted: Answer) -> Difference:
    """Raises ValueError: they have different forms."""
    if wanted.task == "image-classification":
        return _of_scores(told, wanted)
    if wanted.boxes is not None:
        return _of_objects(told, wanted)
    if wanted.masks is not None:
        return _of_segments(told, wanted)
    if told.values is None or wanted.values is None or told.values.shape != wanted.values.shape:
        raise ValueError(f"the answer is {np.shape(told.values)}, {np.shape(wanted.values)} is wanted")
    return _VALUES[wanted.task](np.asarray(told.values, np.float64), np.asarray(wanted.values, np.float64))


def _of_scores(told: Answer, wanted: Answer) -> Difference:
    found = dict(zip(told.labels, _numbers(told.scores), strict=True))
    asked = dict(zip(wanted.labels, _numbers(wanted.scores), strict=True))
    if found.keys() != asked.keys():
        return Difference(f"labels {sorted(found)[:3]}…, {sorted(asked)[:3]}… are wanted", np.inf)
    largest = max(1.0, *map(abs, asked.values()))
    return _limited(max(abs(found[label] - score) for label, score in asked.items()), SCORE * largest, "score")


def _numbers(values: NDArray | None) -> list[float]:
    return [] if values is None else values.tolist()


def _limited(value: float, limit: float, unit: str) -> Difference:
    return Difference(f"{value:.2g} {unit}", float(value / limit) if np.isfinite(value) else np.inf)


# Objects


def _of_objects(told: Answer, wanted: Answer) -> Difference:
    pairs = list(_pairs(told, wanted))
    alone = len(_clear(wanted, {one for one, _ in pairs})) + len(_clear(told, {other for _, other in pairs}, wanted))
    total = max(len(wanted.labels), len(told.labels))
    if not total:
        return Difference(NOTHING, 0)
    parts = [Difference(f"{alone} of {total} objects differ", alone / max(1, MISSING * total))]
    for name, limit, unit, measure in _PARTS:
        mine, theirs = getattr(told, name), getattr(wanted, name)
        if theirs is not None and pairs:
            found = [measure(theirs[one], mine[other]) for one, other in pairs]
            parts.append(_limited(float(np.mean(found) if name == "masks" else max(found)), limit, unit))
    return Difference(", ".join(part.text for part in parts), max(part.share for part in parts))


def _pairs(told: Answer, wanted: Answer) -> Iterator[tuple[int, int]]:
    """For each object that is wanted the nearest of the same label and about the same score; none is taken twice."""
    free = set(range(len(told.labels)))
    for one, label in enumerate(wanted.labels):
        near = {other: _apart(wanted.boxes[one], told.boxes[other]) for other in free
                if told.labels[other] == label
                and abs(told.scores[other] - wanted.scores[one]) < ALIKE}
        best = min(near, key=lambda other: near[other], default=None)
        if best is not None and near[best] < SAME:
            free.remove(best)
            yield one, best


def _clear(answer: Answer, paired: set[int], asked: Answer | None = None) -> list[int]:
    """Those without a partner that are no matter of rounding: their score is not just above the threshold, nor are
    they the last of as many as are told."""
    wanted = (asked or answer).asked
    lowest = min(_numbers(answer.scores), default=0) if len(answer.labels) == wanted.get("top_k") else 0
    least = max(wanted.get("threshold", 0), lowest) + SCORE
    return [row for row, score in enumerate(_numbers(answer.scores)) if row not in paired and score > least]


def _apart(one: Any, other: Any) -> float:
    return float(np.abs(np.asarray(one, np.float64) - other).max())


def _corners(one: NDArray, other: NDArray) -> float:
    """Of the same rectangle, whichever corner is told first."""
    return min(_apart(one, np.roll(turned, step, axis=0)) for turned in (other, other[::-1]) for step in range(4))


def _points(one: NDArray, other: NDArray) -> float:
    """Those that the model is sure of."""
    seen = one[:, 2] >= 0.5
    return _apart(one[seen, :2], other[seen, :2]) if seen.any() else 0.0


def _masks(one: NDArray, other: NDArray) -> float:
    """What only one covers, as a share of the rectangle around both."""
    if one.shape != other.shape:
        raise ValueError(f"the mask is {other.shape}, {one.shape} is wanted")
    rows, columns = np.nonzero(one | other)
    around = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) if len(rows) else 1
    return float(np.count_nonzero(one ^ other) / max(around, 1000))


_PARTS: tuple[tuple[str, float, str, Callable[[Any, Any], float]], ...] = (
    ("boxes", PIXELS, "px", _apart), ("scores", SCORE, "score", _apart),
    ("polygons", PIXELS, "px of corners", _corners), ("keypoints", PIXELS, "px of keypoints", _points),
    ("masks", MASK, "of a box in masks", _masks))


# Segments, and values for each pixel


def _of_segments(told: Answer, wanted: Answer) -> Difference:
    """The pixels that get another label; of several segments of a label, all together."""
    mine, theirs = _by_label(told), _by_label(wanted)
    shapes = {mask.shape for mask in (*mine.values(), *theirs.values())}
    if len(shapes) != 1:
        return Difference(f"masks of {shapes}", np.inf) if shapes else Difference(NOTHING, 0)
    nothing = np.zeros(shapes.pop(), bool)
    wrong = [mine.get(label, nothing) ^ theirs.get(label, nothing) for label in mine.keys() | theirs.keys()]
    return _limited(float(np.logical_or.reduce(wrong).mean()), SHARE, "of the pixels")


def _by_label(answer: Answer) -> dict[str, NDArray[np.bool_]]:
    found = dict[str, NDArray[np.bool_]]()
    for label, mask in zip(answer.labels, () if answer.masks is None else answer.masks, strict=True):
        found[label] = found[label] | mask if label in found else mask
    return found


def _of_depths(told: NDArray, wanted: NDArray) -> Difference:
    return _limited(_apart(told, wanted) / max(float(np.ptp(wanted)), 1e-12), SHARE, "of the spread")


def _of_pictures(told: NDArray, wanted: NDArray) -> Difference:
    return _limited(float(np.quantile(np.abs(told - wanted), NEARLY_ALL)), LEVELS, "grey levels")


def _of_vectors(told: NDArray, wanted: NDArray) -> Difference:
    length = max(float(np.linalg.norm(wanted)), 1e-12)
    return _limited(float(np.linalg.norm(told - wanted)) / length, SHARE, "of the length")


_VALUES: dict[str, Callable[[NDArray, NDArray], Difference]] = {
    "depth-estimation": _of_depths, "image-to-image": _of_pictures, "image-feature-extraction": _of_vectors,
    "tensor": _of_vectors}
