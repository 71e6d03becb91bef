"""image-segmentation, semantic: the class of every pixel, or with a sigmoid a yes or no per pixel and class.

Instance segmenters, which tell boxes too, are `instances.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from inference.geometry import Placement
from inference.grids import Grid, Pixels, Scores, blocks, nearest, on_grid, plane, window, winners
from inference.masks import encode_mask
from inference.model_toml import Activation, Layout
from inference.spec import ModelSpec, Size
from inference.tiling import Blender, Tiles

NAME = "image-segmentation"
SCORE_DIGITS = 6
PIXEL_THRESHOLD = 0.5  # of a sigmoid: the class is likelier there than not
COUNTED_ROWS = 256
Kind = Literal["exclusive", "overlapping", "numbers"]


class Parameters(BaseModel):
    """What a caller may ask: segments whose mean score is at least `threshold`. Class maps bear no scores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(0, ge=0, le=1)


@dataclass(frozen=True)
class Reading:
    """What a model tells of a picture or a tile: scores per class on its grid, or one plane of class numbers plus 1."""

    kind: Kind
    grid: Grid


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


def read(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Reading:
    """The output named "masks", else the first -> scores or class numbers on the model's grid, without the filling.

    It is (1, classes, h, w), (1, h, w, classes) or a class map (1, h, w), (1, 1, h, w), (1, h, w, 1); h and w may
    differ from the input's.

    Raises:
        ValueError: its shape or its values do not fit the labels.
    """
    name = spec.output.names.get("masks") or next(iter(outputs))
    planes = _channels_first(name, outputs[name], len(spec.labels), spec.input.layout)
    kind, grid = _kind(planes, spec), on_grid(planes, placement)
    if kind == "numbers":
        return Reading(kind, replace(grid, values=_numbers(name, grid.values, len(spec.labels))))
    return Reading(kind, replace(grid, values=activate(grid.values, _activation(spec))))


def result(value: Reading | ClassMap | Masks, spec: ModelSpec, image_size: Size, parameters: BaseModel) -> dict:
    """The classes that are present, the largest first, without the background."""
    found: list[tuple[int, dict]] = []
    for index, mask, score_sum in _segments(value, len(spec.labels)):
        pixels = int(np.count_nonzero(mask))
        score = None if score_sum is None else round(score_sum / max(pixels, 1), SCORE_DIGITS)
        if pixels and index != _background(spec) and _wanted(score, parameters):
            found.append((pixels, {"label": spec.labels[index], "score": score, "mask": encode_mask(mask)}))
    return {"task": NAME, "predictions": [segment for _, segment in sorted(found, key=lambda item: -item[0])]}


def merge(values: Iterable[tuple[Placement, Reading]], tiles: Tiles, spec: ModelSpec,
          parameters: BaseModel) -> ClassMap | Masks:
    """The tiles' readings, row by row -> the whole image's classes; scores fade into each other where tiles overlap.

    Held are one tile, the classes of the finished pixels, and the scores where the tiles of a row overlap the next:
    classes x overlap x image width x 4 bytes.

    Raises:
        ValueError: the model sees only the middle of each tile.
    """
    readings = _whole((reading for _, reading in values), tiles)
    first = next(readings)
    return _MERGERS[first.kind](chain([first], readings), tiles, len(spec.labels))


def activate(values: NDArray, activation: Activation) -> Scores:
    """Logits (classes, h, w) -> scores float32; `none` for a model that gives scores already."""
    scores = np.ascontiguousarray(values, np.float32)
    if activation == "softmax":
        powers = np.exp(scores - scores.max(axis=0))
        powers /= powers.sum(axis=0)
        return powers
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(np.float32(0), -scores))  # 1 / (1 + e^-x) without its overflow
    return scores


def _wanted(score: float | None, parameters: BaseModel) -> bool:
    return score is None or score >= cast(Parameters, parameters).threshold


# What the output is


def _channels_first(name: str, values: NDArray, classes: int, layout: Layout) -> NDArray:
    """An output -> (classes or 1, h, w); the axis of classes is 1 or as long as the labels, layout decides a tie."""
    batch = values[:, np.newaxis] if values.ndim == 3 else values
    fitting = [[axis for axis in (1, 3) if batch.ndim == 4 and batch.shape[axis] == length] for length in (1, classes)]
    axes = fitting[0] or fitting[1]
    if not axes or len(batch) != 1:
        raise ValueError(f"output '{name}' is {list(values.shape)}, expected [1, {classes}, height, width] for "
                         f"{classes} labels or a class map [1, height, width]: set labels in model.toml, or "
                         "[output.names] masks to another output")
    axis = axes[0] if len(axes) == 1 else {"NCHW": 1, "NHWC": 3}[layout]
    return np.moveaxis(batch[0], axis - 1, 0)


def _kind(planes: NDArray, spec: ModelSpec) -> Kind:
    if len(planes) == 1 and (planes.dtype.kind in "biu" or len(spec.labels) > 1):
        return "numbers"
    return "overlapping" if len(planes) == 1 or spec.output.activation == "sigmoid" else "exclusive"


def _activation(spec: ModelSpec) -> Activation:
    """One channel has nothing that it could be a softmax over."""
    return "sigmoid" if len(spec.labels) == 1 and spec.output.activation != "none" else spec.output.activation


def _numbers(name: str, planes: NDArray, classes: int) -> NDArray[np.unsignedinteger]:
    """(1, h, w) class numbers plus 1; with a single label, what is not 0 bears it."""
    if classes == 1:
        return (planes != 0).astype(np.uint8)
    if planes.dtype.kind == "f" and not (planes == np.floor(planes)).all():
        raise ValueError(f"output '{name}' has one channel of fractions, which is a mask of one label, but there are "
                         f"{classes}: set labels in model.toml to that one")
    if planes.min() < 0 or planes.max() >= classes:
        raise ValueError(f"output '{name}' tells classes {planes.min():g} to {planes.max():g}, expected 0 to "
                         f"{classes - 1}: set labels in model.toml, one per class")
    return np.add(planes.astype(_number_type(classes)), 1, dtype=_number_type(classes))


def _number_type(classes: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if classes < 255 else np.uint16


def _background(spec: ModelSpec) -> int | None:
    """The class that is not told; a single label is never it."""
    if len(spec.labels) == 1:
        return None
    return {"none": None, "first": 0, "last": len(spec.labels) - 1}[spec.output.background]


# From the grid to segments of the image


def _segments(value: Reading | ClassMap | Masks, classes: int) -> Iterator[Segment]:
    """Each class that is present, one mask after the other: together they could be as large as the scores."""
    if isinstance(value, Masks):
        yield from ((index, mask, value.sums[index]) for index, mask in value.masks.items())
    elif isinstance(value, ClassMap):
        yield from _of_map(value)
    elif value.kind == "overlapping":
        yield from _above_threshold(value.grid)
    else:
        yield from _of_map(_numbered(value.grid) if value.kind == "numbers" else _best(value.grid, classes))


def _of_map(classes: ClassMap) -> Iterator[Segment]:
    for number in _present(classes.numbers):
        yield number - 1, classes.numbers == number, None if classes.sums is None else float(classes.sums[number - 1])


def _present(numbers: NDArray[np.unsignedinteger]) -> list[int]:
    """The numbers but 0 that occur; row band by row band because bincount makes int64 of them."""
    seen: set[int] = set()
    for top in range(0, len(numbers), COUNTED_ROWS):
        seen.update(np.flatnonzero(np.bincount(numbers[top:top + COUNTED_ROWS].ravel())).tolist())
    return sorted(seen - {0})


def _best(grid: Grid, classes: int) -> ClassMap:
    found = _empty_map(grid.image_size, classes)
    for piece in blocks(grid.size):
        _note(found, grid.source[0] + piece[0], grid.source[1] + piece[1], *winners(window(grid, piece)))
    return found


def _numbered(grid: Grid) -> ClassMap:
    left, top, right, bottom = grid.source
    numbers = np.zeros(grid.image_size[::-1], grid.values.dtype)
    numbers[top:bottom, left:right] = nearest(grid)
    return ClassMap(numbers, None)


def _above_threshold(grid: Grid) -> Iterator[Segment]:
    """A class that exceeds the threshold in no cell does so in no pixel: those lie between their cells."""
    for index in np.flatnonzero(grid.values.max(axis=(1, 2)) > PIXEL_THRESHOLD).tolist():
        mask, score_sum = np.zeros(grid.image_size[::-1], np.bool_), 0.0
        for piece in blocks(grid.size):
            part = window(replace(grid, values=grid.values[index:index + 1]), piece)
            if part.values.max() > PIXEL_THRESHOLD:
                score_sum += _mark(mask, _moved(piece, grid.source), plane(part, 0))
        yield index, mask, score_sum


def _mark(mask: NDArray[np.bool_], piece: Pixels, scores: Scores) -> float:
    """Enter where a piece exceeds the threshold; its scores there, added up."""
    above = scores > PIXEL_THRESHOLD
    mask[piece[1]:piece[3], piece[0]:piece[2]] = above
    return float(scores[above].sum(dtype=np.float64))


def _moved(piece: Pixels, source: Pixels) -> Pixels:
    return piece[0] + source[0], piece[1] + source[1], piece[2] + source[0], piece[3] + source[1]


def _empty_map(image_size: Size, classes: int) -> ClassMap:
    return ClassMap(np.zeros(image_size[::-1], _number_type(classes)), np.zeros(classes))


def _note(found: ClassMap, left: int, top: int, classes: NDArray[np.intp], scores: Scores) -> None:
    """Enter the classes and scores (height, width) of a piece whose corner is (left, top)."""
    assert found.sums is not None
    height, width = classes.shape
    found.numbers[top:top + height, left:left + width] = classes + 1
    found.sums[:] += np.bincount(classes.ravel(), scores.ravel(), len(found.sums))


# Tiles


def _whole(readings: Iterator[Reading], tiles: Tiles) -> Iterator[Reading]:
    """The tiles' readings, each of which must be of its whole tile."""
    for reading, box in zip(readings, tiles.boxes(), strict=True):
        if reading.grid.source != box:
            raise ValueError('resize = "crop" shows the model only the middle of each tile: '
                             'set [input] resize = "stretch" in model.toml')
        yield reading


def _merge_exclusive(readings: Iterator[Reading], tiles: Tiles, classes: int) -> ClassMap:
    found, blenders = _empty_map(tiles.image_size, classes), [Blender(tiles) for _ in range(classes)]
    for reading in readings:
        left, top, best = blenders[0].add(plane(reading.grid, 0)[np.newaxis])
        scores, numbers = best[0].copy(), np.zeros(best.shape[1:], np.intp)
        for index, blender in enumerate(blenders[1:], 1):
            blended = blender.add(plane(reading.grid, index)[np.newaxis])[2][0]
            numbers[blended > scores] = index
            np.maximum(scores, blended, out=scores)
        _note(found, left, top, numbers, scores)
    return found


def _merge_overlapping(readings: Iterator[Reading], tiles: Tiles, classes: int) -> Masks:
    blenders = [Blender(tiles) for _ in range(classes)]
    masks: dict[int, NDArray[np.bool_]] = {}
    sums: dict[int, float] = {}
    for reading in readings:
        for index, blender in enumerate(blenders):
            left, top, (scores,) = blender.add(plane(reading.grid, index)[np.newaxis])
            if scores.size and scores.max() > PIXEL_THRESHOLD:
                mask = masks.setdefault(index, np.zeros(tiles.image_size[::-1], np.bool_))
                piece = left, top, left + scores.shape[1], top + scores.shape[0]
                sums[index] = sums.get(index, 0.0) + _mark(mask, piece, scores)
    return Masks(masks, sums)


def _merge_numbers(readings: Iterator[Reading], tiles: Tiles, classes: int) -> ClassMap:
    """Class numbers do not blend: each tile tells from the middle of its overlap with the one before it."""
    lefts, tops = _middles(tiles.spans(0)), _middles(tiles.spans(1))
    numbers = np.zeros(tiles.image_size[::-1], _number_type(classes))
    for place, reading in enumerate(readings):
        row, column = divmod(place, len(lefts))
        left, top, right, bottom = reading.grid.source
        numbers[tops[row]:bottom, lefts[column]:right] = nearest(reading.grid)[tops[row] - top:, lefts[column] - left:]
    return ClassMap(numbers, None)


def _middles(spans: list[tuple[int, int]]) -> list[int]:
    """Where each span takes over from the one before it: in the middle of what both cover."""
    return [spans[0][0], *((end + start) // 2 for (_, end), (start, _) in pairwise(spans))]


_MERGERS: dict[Kind, Callable[[Iterator[Reading], Tiles, int], ClassMap | Masks]] = {
    "exclusive": _merge_exclusive, "overlapping": _merge_overlapping, "numbers": _merge_numbers}
