"""image-segmentation, semantic: the class of every pixel, or with a sigmoid a yes or no per pixel and class.

Instance segmenters, which tell boxes too, are `instances.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.blending import Blender
from inference.geometry import Placement
from inference.grids import Scores, nearest, on_grid, plane
from inference.masks import encode_mask
from inference.model_toml import Activation, Layout
from inference.parameters import SegmentationParameters
from inference.segments import (
    PIXEL_THRESHOLD,
    ClassMap,
    Kind,
    Masks,
    Reading,
    empty_map,
    enter_above,
    enter_classes,
    number_type,
    segments,
    sigmoid,
)
from inference.spec import ModelSpec, Size
from inference.tiling import Tiles

NAME = "image-segmentation"
SCORE_DIGITS = 6


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
    activation = _activation(spec)
    if activation == "none":
        return Reading(kind, replace(grid, values=activate(grid.values, "none")))
    return Reading(kind, replace(grid, values=activate(grid.values, activation)), grid)


def result(value: Reading | ClassMap | Masks, spec: ModelSpec, image_size: Size, parameters: BaseModel) -> dict:
    """The classes that are present, the largest first, without the background."""
    found: list[tuple[int, dict]] = []
    for index, mask, score_sum in segments(value, len(spec.labels)):
        pixels = int(np.count_nonzero(mask))
        score = None if score_sum is None else round(score_sum / max(pixels, 1), SCORE_DIGITS)
        if pixels and index != _background(spec) and _wanted(score, parameters):
            found.append((pixels, {"label": spec.labels[index], "score": score, "mask": encode_mask(mask)}))
    return {"task": NAME, "predictions": [segment for _, segment in sorted(found, key=lambda item: -item[0])]}


def merge(values: Iterable[tuple[Placement, Reading]], tiles: Tiles, spec: ModelSpec,
          parameters: BaseModel) -> ClassMap | Masks:
    """The tiles' readings, row by row -> the whole image's classes; scores fade into each other where tiles overlap.

    It keeps one tile, the classes of the complete pixels, and the scores where the tiles of a row overlap the next:
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
        return sigmoid(scores)
    return scores


def _wanted(score: float | None, parameters: BaseModel) -> bool:
    return score is None or score >= cast(SegmentationParameters, parameters).threshold


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
    return np.add(planes.astype(number_type(classes)), 1, dtype=number_type(classes))


def _background(spec: ModelSpec) -> int | None:
    """The class that is not told; a single label is never it."""
    if len(spec.labels) == 1:
        return None
    return {"none": None, "first": 0, "last": len(spec.labels) - 1}[spec.output.background]


# Tiles


def _whole(readings: Iterator[Reading], tiles: Tiles) -> Iterator[Reading]:
    """The tiles' readings, each of which must be of its whole tile."""
    for reading, box in zip(readings, tiles.boxes(), strict=True):
        if reading.grid.source != box:
            raise ValueError('resize = "crop" shows the model only the middle of each tile: '
                             'set [input] resize = "stretch" in model.toml')
        yield reading


def _merge_exclusive(readings: Iterator[Reading], tiles: Tiles, classes: int) -> ClassMap:
    found, blenders = empty_map(tiles.image_size, classes), [Blender(tiles) for _ in range(classes)]
    for reading in readings:
        left, top, best = blenders[0].add(plane(reading.grid, 0)[np.newaxis])
        scores, numbers = best[0].copy(), np.zeros(best.shape[1:], np.intp)
        for index, blender in enumerate(blenders[1:], 1):
            blended = blender.add(plane(reading.grid, index)[np.newaxis])[2][0]
            numbers[blended > scores] = index
            np.maximum(scores, blended, out=scores)
        enter_classes(found, left, top, numbers, scores)
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
                sums[index] = sums.get(index, 0.0) + enter_above(mask, piece, scores)
    return Masks(masks, sums)


def _merge_numbers(readings: Iterator[Reading], tiles: Tiles, classes: int) -> ClassMap:
    """Class numbers do not blend: each tile tells from the middle of its overlap with the one before it."""
    lefts, tops = _middles(tiles.spans(0)), _middles(tiles.spans(1))
    numbers = np.zeros(tiles.image_size[::-1], number_type(classes))
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
