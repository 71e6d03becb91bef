"""What a segmenter tells of an image, and the segments that are present in it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inference.grids import Grid, Pixels, Scores, blocks, nearest, plane, window, winners
from inference.spec import Size

PIXEL_THRESHOLD = 0.5  # of a sigmoid: the class is likelier there than not
COUNTED_ROWS = 256
Kind = Literal["exclusive", "overlapping", "numbers"]


@dataclass(frozen=True)
class Reading:
    """What a model tells of an image or a tile: scores per class on its grid, or one plane of class numbers plus 1.

    `logits` are what an activation made the scores of, if one did: which class a pixel between cells has is told by
    these, as in the libraries that train such models, and not by the scores.
    """

    kind: Kind
    grid: Grid
    logits: Grid | None = None


@dataclass(frozen=True)
class ClassMap:
    """One class per pixel, (height, width) numbers plus 1; 0 where nothing is told (the rim that a crop cuts off).

    `sums` (classes,) are scores added up over the classes' pixels, None where the model gives none.
    """

    numbers: NDArray[np.unsignedinteger]
    sums: NDArray[np.float64] | None


@dataclass(frozen=True)
class Masks:
    """Masks (height, width) by class, of the classes that are present, and their scores added up over their pixels."""

    masks: Mapping[int, NDArray[np.bool_]]
    sums: Mapping[int, float]


Segment = tuple[int, NDArray[np.bool_], float | None]  # class, mask, scores added up


def segments(value: Reading | ClassMap | Masks, classes: int) -> Iterator[Segment]:
    """Each class that is present with its mask, one after the other: together they could be as large as the scores."""
    if isinstance(value, Masks):
        yield from ((index, mask, value.sums[index]) for index, mask in value.masks.items())
    elif isinstance(value, ClassMap):
        yield from _of_map(value)
    elif value.kind == "overlapping":
        yield from _above_threshold(value)
    else:
        yield from _of_map(_numbered(value.grid) if value.kind == "numbers" else _best(value, classes))


def _of_map(classes: ClassMap) -> Iterator[Segment]:
    for number in _present(classes.numbers):
        yield number - 1, classes.numbers == number, None if classes.sums is None else float(classes.sums[number - 1])


def _present(numbers: NDArray[np.unsignedinteger]) -> list[int]:
    """The numbers but 0 that occur; row band by row band because bincount makes int64 of them."""
    seen: set[int] = set()
    for top in range(0, len(numbers), COUNTED_ROWS):
        seen.update(np.flatnonzero(np.bincount(numbers[top:top + COUNTED_ROWS].ravel())).tolist())
    return sorted(seen - {0})


def _best(value: Reading, classes: int) -> ClassMap:
    left, top, *_ = value.grid.source
    found = empty_map(value.grid.image_size, classes)
    for piece in blocks(value.grid.size):
        enter_classes(found, left + piece[0], top + piece[1], *_winners(value, piece))
    return found


def _winners(value: Reading, piece: Pixels) -> tuple[NDArray[np.intp], Scores]:
    """The class of each pixel of a piece, and its score."""
    scores = window(value.grid, piece)
    if value.logits is None:
        return winners(scores)
    classes, best = winners(window(value.logits, piece))
    for index in np.unique(classes).tolist():
        np.copyto(best, plane(scores, index), where=classes == index)
    return classes, best


def _numbered(grid: Grid) -> ClassMap:
    left, top, right, bottom = grid.source
    numbers = np.zeros(grid.image_size[::-1], grid.values.dtype)
    numbers[top:bottom, left:right] = nearest(grid)
    return ClassMap(numbers, None)


def _above_threshold(value: Reading) -> Iterator[Segment]:
    """A class that exceeds the threshold in no cell does so in no pixel: those lie between their cells."""
    grid, told = value.grid, value.logits or value.grid
    for index in np.flatnonzero(grid.values.max(axis=(1, 2)) > PIXEL_THRESHOLD).tolist():
        mask, score_sum = np.zeros(grid.image_size[::-1], np.bool_), 0.0
        for piece in blocks(grid.size):
            part = window(replace(told, values=told.values[index:index + 1]), piece)
            if part.values.max() > (PIXEL_THRESHOLD if value.logits is None else 0):
                scores = plane(part, 0) if value.logits is None else sigmoid(plane(part, 0))
                score_sum += enter_above(mask, _moved(piece, grid.source), scores)
        yield index, mask, score_sum


def sigmoid(values: NDArray) -> Scores:
    return np.exp(-np.logaddexp(np.float32(0), -values))  # 1 / (1 + e^-x) without its overflow


def enter_above(mask: NDArray[np.bool_], piece: Pixels, scores: Scores) -> float:
    """Enter where a piece exceeds the threshold. Returns its scores there, added up."""
    above = scores > PIXEL_THRESHOLD
    mask[piece[1]:piece[3], piece[0]:piece[2]] = above
    return float(scores[above].sum(dtype=np.float64))


def _moved(piece: Pixels, source: Pixels) -> Pixels:
    return piece[0] + source[0], piece[1] + source[1], piece[2] + source[0], piece[3] + source[1]


def empty_map(image_size: Size, classes: int) -> ClassMap:
    return ClassMap(np.zeros(image_size[::-1], number_type(classes)), np.zeros(classes))


def enter_classes(found: ClassMap, left: int, top: int, classes: NDArray[np.intp], scores: Scores) -> None:
    """Enter the classes and scores (height, width) of a piece whose corner is (left, top)."""
    assert found.sums is not None
    height, width = classes.shape
    found.numbers[top:top + height, left:left + width] = classes + 1
    found.sums[:] += np.bincount(classes.ravel(), scores.ravel(), len(found.sums))


def number_type(classes: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if classes < 255 else np.uint16
