"""Which objects get a tag, what it says, and where it stands. Pure: boxes and sizes of texts in, places out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]  # (n, 4) or (4,), xyxy in pixels
Measure = Callable[[str, int], tuple[int, int]]  # of a text in a font size: width and height with its padding
MOST_COVERED = 0.35  # of its object's area a tag may take
MOST_WIDE = 1.3  # times its object's width
SPARE = 0.01  # of the image all tags together may take that are larger than that, where they lie on no object
MOST_OVER_OTHERS = 0.5  # of a tag's area may lie on other objects


@dataclass(frozen=True)
class Candidate:
    """An object that wants a tag. `texts` are what it may say, the best first; `box` (4,) is xyxy in pixels."""

    box: Boxes
    texts: Sequence[str]
    font: int


@dataclass(frozen=True)
class Tag:
    """`number` is its object's. `left` and `top` are of its box, which is `width` by `height` pixels."""

    number: int
    text: str
    left: int
    top: int
    width: int
    height: int


def place(candidates: Sequence[Candidate], image: tuple[int, int], measure: Measure, always: bool) -> list[Tag]:
    """Tags that hide no other tag, and little of the objects; in the order of the candidates, so the best come first.

    `always` places each tag somewhere, whatever it hides.
    """
    boxes = np.array([one.box for one in candidates]).reshape(-1, 4)
    placed, taken = list[Tag](), np.zeros_like(boxes)
    for number, one in enumerate(candidates):
        spare = SPARE * image[0] * image[1] - sum(tag.width * tag.height for tag in placed)
        tag = _tag(number, one, boxes, taken[:len(placed)], image, measure, inf if always else spare)
        if tag is not None:
            taken[len(placed)] = tag.left, tag.top, tag.left + tag.width, tag.top + tag.height
            placed.append(tag)
    return placed


def _tag(number: int, one: Candidate, boxes: Boxes, taken: Boxes, image: tuple[int, int], measure: Measure,
         spare: float) -> Tag | None:
    """`spare` are the pixels that tags may still take though their objects are smaller than they."""
    for text in one.texts:
        width, height = measure(text, one.font)
        explains = _explains(one.box, width, height)
        if explains or width * height <= spare:
            places = _places(one.box, width, height, image)
            over_others = _shared(places, np.delete(boxes, number, axis=0) if explains else boxes)
            over_others[_shared(places, taken) > 0] = np.inf
            best = int(np.argmin(over_others))
            if spare == inf or over_others[best] <= MOST_OVER_OTHERS * width * height * explains:
                return Tag(number, text, int(places[best, 0]), int(places[best, 1]), width, height)
    return None


def _explains(box: Boxes, width: int, height: int) -> bool:
    wide, high = box[2] - box[0], box[3] - box[1]
    return bool(width <= MOST_WIDE * wide and width * height <= MOST_COVERED * wide * high)


def _places(box: Boxes, width: int, height: int, image: tuple[int, int]) -> Boxes:
    """Above the box, below it, within its top, as far as the image reaches: (n, 4) boxes of a tag."""
    left = max(0, min(round(box[0]), image[0] - width))
    tops = (round(box[1]) - height, round(box[3]), round(box[1]))
    inside = [top for top in tops if 0 <= top <= image[1] - height] or [max(0, min(tops[2], image[1] - height))]
    return np.array([(left, top, left + width, top + height) for top in inside], np.float64)


def _shared(places: Boxes, others: Boxes) -> NDArray[np.float64]:
    """(n,) pixels that each of the places (n, 4) shares with the others (m, 4)."""
    if not len(others):
        return np.zeros(len(places))
    low = np.maximum(places[:, None, :2], others[None, :, :2])
    high = np.minimum(places[:, None, 2:], others[None, :, 2:])
    return np.maximum(high - low, 0).prod(axis=2).sum(axis=1)
