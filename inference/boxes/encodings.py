"""The ways in which detectors write down a box -> corners in pixels of the model's input. Pure."""

import numpy as np
from numpy.typing import NDArray

from inference.spec import OutputSpec, Size

Floats = NDArray[np.float64]
BOX = 4  # numbers of a box
ON_A_GRID = ("grid", "ltrb", "dfl", "tanh")  # encodings relative to the cell that a row belongs to
OFFSETS = {"center": 0.5, "corner": 0.0}  # of a point in its cell, in cells
MOST_OF_A_CELL = 2  # boxes that belong to one cell


def box_numbers(output: OutputSpec) -> int:
    """How many numbers tell a box."""
    return BOX * output.bins if output.boxes == "dfl" else BOX


def decode(boxes: NDArray, rows: NDArray[np.intp], output: OutputSpec, input_size: Size) -> Floats:
    """The numbers of all boxes (n, k) -> those of the wanted `rows` (m,) as xyxy (m, 4) in pixels of the input.

    `k` is 4, or 4 * `bins` where each distance is told by a distribution.

    Raises:
        ValueError: on a grid whose cells are not n.
    """
    raw = boxes[rows].astype(np.float64)
    if output.boxes in ON_A_GRID:
        return _from_grid(raw, cells_of(len(boxes), output.strides, input_size)[rows], output, input_size)
    corners = _CORNERS[output.boxes](raw)
    return corners * (input_size * 2) if output.units == "normalised" else corners


def points_on_cells(raw: Floats, count: int, rows: NDArray[np.intp], output: OutputSpec, input_size: Size) -> Floats:
    """Points (m, k, 2) that count in strides from the cells of the `rows` (m,), of `count` in all -> pixels of the
    input.

    Raises:
        ValueError: on a grid whose cells are not `count`.
    """
    cell = cells_of(count, output.strides, input_size)[rows, np.newaxis]
    offset = OFFSETS[output.point] if output.boxes in ("ltrb", "dfl") else 0.0
    return (raw + cell[..., :2] + offset) * cell[..., 2:]


def sound(boxes: NDArray) -> NDArray[np.bool_]:
    """Which boxes (n, 4) are finite and have an area."""
    with np.errstate(invalid="ignore"):
        return np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def grid_size(input_size: Size, stride: int) -> Size:
    """Columns and rows of the grid of one stride; strided convolutions round up."""
    return -(-input_size[0] // stride), -(-input_size[1] // stride)


def cells(strides: tuple[int, ...], input_size: Size) -> Floats:
    """(n, 3) column, row and stride of each cell, stride by stride and row by row."""
    grids = [(stride, *grid_size(input_size, stride)) for stride in strides]
    return np.concatenate([np.stack((np.tile(np.arange(columns), rows), np.repeat(np.arange(rows), columns),
                                     np.full(columns * rows, stride)), axis=1)
                           for stride, columns, rows in grids]).astype(np.float64)


def cells_of(count: int, strides: tuple[int, ...], input_size: Size) -> Floats:
    """(count, 3) the cell of each row. Where there are twice as many, two rows that follow each other share one.

    Raises:
        ValueError: the cells are not so many.
    """
    found = cells(strides, input_size) if strides else np.empty((0, 3))
    for shared in range(1, MOST_OF_A_CELL + 1):
        if len(found) * shared == count:
            return np.repeat(found, shared, axis=0)
    raise ValueError(f"{count} boxes are not one or two for each of the {len(found)} cells that strides "
                     f"{list(strides)} make of an input of {input_size[0]}x{input_size[1]}: "
                     "set [output] strides, or [output] boxes, in model.toml")


def _from_grid(raw: Floats, cell: Floats, output: OutputSpec, input_size: Size) -> Floats:
    stride = cell[:, 2:]
    if output.boxes in ("ltrb", "dfl"):  # FCOS, SCRFD: distances from a point of the cell to the four sides
        sides = (_means(raw) if output.boxes == "dfl" else raw) * stride
        point = (cell[:, :2] + OFFSETS[output.point]) * stride
        return np.concatenate((point - sides[:, :2], point + sides[:, 2:]), axis=1)
    if output.boxes == "tanh":  # FastestDet, handle_preds
        size = np.exp(-np.logaddexp(0, -raw[:, 2:])) * input_size
        return _from_centre(np.concatenate(((np.tanh(raw[:, :2]) + cell[:, :2]) * stride, size), axis=1))
    with np.errstate(over="ignore"):  # an infinite box is dropped as unsound
        size = np.exp(raw[:, 2:]) * stride  # YOLOX, demo_postprocess
    return _from_centre(np.concatenate(((raw[:, :2] + cell[:, :2]) * stride, size), axis=1))


def _means(raw: Floats) -> Floats:
    """Logits (m, 4 * bins) of how likely each distance is 0, 1, 2, … -> the mean of each distribution (m, 4), as by the
    Integral of Generalized Focal Loss (https://arxiv.org/abs/2006.04388)."""
    logits = raw.reshape(len(raw), BOX, raw.shape[1] // BOX)
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return (powers @ np.arange(logits.shape[2])) / powers.sum(axis=2)


def _from_centre(raw: Floats) -> Floats:
    half = raw[:, 2:] / 2
    return np.concatenate((raw[:, :2] - half, raw[:, :2] + half), axis=1)


def _from_corner(raw: Floats) -> Floats:
    return np.concatenate((raw[:, :2], raw[:, :2] + raw[:, 2:]), axis=1)


_CORNERS = {"xyxy": lambda raw: raw, "yxyx": lambda raw: raw[:, [1, 0, 3, 2]],
            "xywh": _from_corner, "cxcywh": _from_centre}
