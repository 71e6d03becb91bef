"""Scores on the cells of a model's output -> on the image's pixels, piece by piece: never all classes of all pixels."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.geometry import Box, Placement
from inference.spec import Size

BLOCK = 128  # pixels
Pixels = tuple[int, int, int, int]  # left, top, right, bottom
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """`values` (classes, h, w) on the cells that show `source`, pixels of an image of `image_size`.

    `box` is where `source` lies in cells, (0, 0) being the corner of the first.
    """

    values: NDArray
    box: Box
    source: Pixels
    image_size: Size

    @property
    def size(self) -> Size:
        """Width and height of `source` in pixels."""
        return self.source[2] - self.source[0], self.source[3] - self.source[1]

    def box_of(self, piece: Pixels) -> Box:
        """A piece of the image in cells; `piece` counts from the corner of `source`."""
        left, top, right, bottom = self.box
        across, down = (right - left) / self.size[0], (bottom - top) / self.size[1]
        return (left + piece[0] * across, top + piece[1] * down,
                min(left + piece[2] * across, right), min(top + piece[3] * down, bottom))


@dataclass(frozen=True)
class _Span:
    """One axis: the (first, end) pixels that are shown, the cells that show them, and the pixels' edges in cells."""

    pixels: tuple[int, int]
    cells: tuple[int, int]
    box: tuple[float, float]


def on_grid(values: NDArray, placement: Placement) -> Grid:
    """An output (classes, h, w) that covers the model's whole input -> what it tells of the image, without the filling.

    Pixels that a crop shows by less than half are left out.
    """
    across, down = _span(placement, 0, values.shape[2]), _span(placement, 1, values.shape[1])
    shown = values[:, down.cells[0]:down.cells[1], across.cells[0]:across.cells[1]]
    return Grid(shown, (across.box[0], down.box[0], across.box[1], down.box[1]),
                (across.pixels[0], down.pixels[0], across.pixels[1], down.pixels[1]), placement.image_size)


def _span(placement: Placement, axis: int, grid: int) -> _Span:
    """Where the image lies on the `grid` cells of one axis."""
    start, inside, corner = placement.source[axis], placement.input_size[axis], placement.target[axis]
    first = min(round(start), placement.image_size[axis] - 1)
    pixels = first, max(first + 1, round(placement.source[axis + 2]))
    cells = corner * grid // inside, -(-placement.target[axis + 2] * grid // inside)
    edges = (((pixel - start) * placement.scale[axis] + corner) * grid / inside - cells[0] for pixel in pixels)
    low, high = (min(max(edge, 0.0), float(cells[1] - cells[0])) for edge in edges)
    return _Span(pixels, cells, (low, high))


def blocks(size: Size) -> Iterator[Pixels]:
    """The pieces that an image is cut into, of at most `BLOCK` pixels, row by row."""
    for top in range(0, size[1], BLOCK):
        for left in range(0, size[0], BLOCK):
            yield left, top, min(left + BLOCK, size[0]), min(top + BLOCK, size[1])


def window(grid: Grid, piece: Pixels) -> Grid:
    """The part of a grid that bears on a piece of the image, as a grid of its own."""
    box = grid.box_of(piece)
    reach_x, reach_y = (max(1.0, (box[axis + 2] - box[axis]) / (piece[axis + 2] - piece[axis])) for axis in (0, 1))
    left, top = max(0, math.floor(box[0] - reach_x)), max(0, math.floor(box[1] - reach_y))
    values = grid.values[:, top:math.ceil(box[3] + reach_y), left:math.ceil(box[2] + reach_x)]
    return Grid(values, (box[0] - left, box[1] - top, box[2] - left, box[3] - top), piece, grid.image_size)


def plane(grid: Grid, index: int) -> Scores:
    """One class (height, width) of `source`: bilinear between the cells' centres.

    Where the cells are finer than pixels, it is their mean. Every pixel is a weighted mean of cells (Pillow's
    resampling), so it lies between their least and their largest.
    """
    cells = Image.fromarray(np.ascontiguousarray(grid.values[index], np.float32))
    return np.asarray(cells.resize(grid.size, Image.Resampling.BILINEAR, box=grid.box))


def winners(grid: Grid) -> tuple[NDArray[np.intp], Scores]:
    """The best class of each pixel of `source`, the first of equals, and its score; for a `window` of a block's size.

    Exact, though most classes are not looked at: a pixel lies between the least and the largest of its cells, so a
    class whose largest is below another one's least is nowhere the best.
    """
    highest = grid.values.max(axis=(1, 2))
    first, *others = np.flatnonzero(highest >= grid.values.min(axis=(1, 2)).max()).tolist()
    best, classes = plane(grid, first).copy(), np.full(grid.size[::-1], first)
    for index in others:
        scores = plane(grid, index)
        classes[scores > best] = index
        np.maximum(best, scores, out=best)
    return classes, best


def nearest(grid: Grid) -> NDArray:
    """The first plane's cell under each pixel of `source`, (height, width): class numbers do not mix. Which one is told
    by the pixel's corner, as PyTorch's and OpenCV's nearest neighbour is."""
    left, top, right, bottom = grid.box
    (width, height), (rows, columns) = grid.size, grid.values.shape[1:]
    x = (left + np.arange(width) * ((right - left) / width)).astype(np.intp).clip(0, columns - 1)
    y = (top + np.arange(height) * ((bottom - top) / height)).astype(np.intp).clip(0, rows - 1)
    return grid.values[0][y[:, np.newaxis], x]
