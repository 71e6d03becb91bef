"""Which objects get a tag, what it says, and where it stands. Pure: boxes and sizes of texts in, places out."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf

import numpy as np
from numpy.typing import NDArray

from inference.drawing.lettering import Words

Box = tuple[float, float, float, float]  # xyxy in pixels
Size = tuple[int, int]
Sign = tuple[Size, bool]  # of one text of an object: its tag's size, and whether that explains more than it covers
Measure = Callable[[Words, int], Size]  # of words in a font size: width and height with their padding
MOST_COVERED, MOST_COVERED_BY_LESS = 0.35, 0.12  # of its object's area a tag may take: the whole text, and a part of it
MOST_WIDE = 1.3  # times its object's width
SPARE = 0.03  # of the image the tags of all objects that are too small for theirs may take, where they hide no object
MOST_OVER_OTHERS = 0.5  # of a tag's area may lie on other objects


@dataclass(frozen=True)
class Candidate:
    """An object that wants a tag. `texts` are what it may say, the best first."""

    box: Box
    texts: Sequence[Words]
    font: int

    def explains(self, number: int, size: Size) -> bool:
        """Whether a tag of this size with the text of this number covers less than it explains."""
        wide, high = self.box[2] - self.box[0], self.box[3] - self.box[1]
        covered = MOST_COVERED_BY_LESS if number else MOST_COVERED
        return size[0] <= MOST_WIDE * wide and size[0] * size[1] <= covered * wide * high


@dataclass(frozen=True)
class Tag:
    """`number` is its object's. `left` and `top` are of its box, which is `width` by `height` pixels."""

    number: int
    words: Words
    left: int
    top: int
    width: int
    height: int


def place(candidates: Sequence[Candidate], image: Size, measure: Measure, always: bool) -> list[Tag]:
    """Tags that hide no other tag, and little of the objects; in the order of the candidates, so the best come first.

    `always` places each tag somewhere, whatever it hides.
    """
    signs = [_signs(one, measure) for one in candidates]
    ground, spares = _Ground(candidates, image), _spares(signs, image)
    tags = (_tag(number, one, signs[number], ground, spares, always) for number, one in enumerate(candidates))
    return [tag for tag in tags if tag is not None]


def _signs(one: Candidate, measure: Measure) -> list[Sign]:
    sizes = (measure(words, one.font) for words in one.texts)
    return [(size, one.explains(text, size)) for text, size in enumerate(sizes)]


def _spares(signs: Iterable[Sequence[Sign]], image: Size) -> set[int]:
    """The texts, as numbers, that objects may bear though they are too small for them: there are few of these."""
    taken = Counter[int]()
    for of_one in signs:
        taken.update({text: 0 if explains else size[0] * size[1] for text, (size, explains) in enumerate(of_one)})
    return {text for text, pixels in taken.items() if pixels <= SPARE * image[0] * image[1]}


def _tag(number: int, one: Candidate, signs: Sequence[Sign], ground: "_Ground", spares: set[int],
         always: bool) -> Tag | None:
    for text, (size, explains) in enumerate(signs):
        if always or explains or text in spares:
            left, top, hidden = ground.spot(one.box, size, number if explains else None)
            if always or hidden <= MOST_OVER_OTHERS * size[0] * size[1] * explains:
                ground.tags.add((left, top, left + size[0], top + size[1]))
                return Tag(number, one.texts[text], left, top, *size)
    return None


class _Ground:
    """What tags may hide: the objects, and the tags before them."""

    def __init__(self, candidates: Sequence[Candidate], image: Size) -> None:
        self._image = image
        self._objects, self.tags = _Boxes(len(candidates)), _Boxes(len(candidates))
        for one in candidates:
            self._objects.add(one.box)

    def spot(self, box: Box, size: Size, own: int | None) -> tuple[int, int, float]:
        """Left and top of a tag where it hides the least, and how many pixels of objects it hides there, infinitely
        many where there is another tag. The object of the number `own` does not count."""
        left, tops = self._places(box, size)
        hidden = self._objects.shared(left, tops, size, own)
        hidden[self.tags.shared(left, tops, size) > 0] = inf
        best = int(np.argmin(hidden))
        return left, tops[best], float(hidden[best])

    def _places(self, box: Box, size: Size) -> tuple[int, list[int]]:
        """The left of a tag, and its tops: above the box, below it, within its top, as far as the image reaches."""
        left, lowest = max(0, min(round(box[0]), self._image[0] - size[0])), self._image[1] - size[1]
        tops = (floor(box[1]) - size[1], ceil(box[3]), round(box[1]))
        return left, [top for top in tops if 0 <= top <= lowest] or [max(0, min(tops[2], lowest))]


class _Boxes:
    """So many boxes at most, to be compared with a tag all at once."""

    def __init__(self, most: int) -> None:
        self._sides, self._count = np.zeros((4, most)), 0  # left, top, right, bottom

    def add(self, box: Box) -> None:
        self._sides[:, self._count] = box
        self._count += 1

    def shared(self, left: int, tops: Sequence[int], size: Size, without: int | None = None) -> NDArray[np.float64]:
        """Of a tag with each of these tops, the pixels it has in common with all boxes (but one): (tops,)."""
        lefts, highs, rights, lows = self._sides[:, :self._count]
        wide = np.minimum(rights, left + size[0]) - np.maximum(lefts, left)
        near = np.flatnonzero(wide > 0)
        near = near[near != without] if without is not None else near
        top = np.array(tops, np.float64)[:, None]
        high = np.minimum(lows[near], top + size[1]) - np.maximum(highs[near], top)
        return np.maximum(high, 0) @ wide[near]
