"""The ways in which detectors write down a box -> corners in pixels of the model's input. Pure."""

import numpy as np
from numpy.typing import NDArray

from inference.spec import OutputSpec, Size

Floats = NDArray[np.float64]
ON_A_GRID = ("grid", "ltrb")  # encodings relative to the cell that a row belongs to


def decode(boxes: NDArray, rows: NDArray[np.intp], output: OutputSpec, input_size: Size) -> Floats:
    """The numbers of all boxes (n, 4) -> those of the wanted `rows` (m,) as xyxy (m, 4) in pixels of the input.

    Raises:
        ValueError: on a grid whose cells are not n.
    """
    raw = boxes[rows].astype(np.float64)
    if output.boxes in ON_A_GRID:
        return _from_grid(raw, _cells_of(len(boxes), output.strides, input_size)[rows], output.boxes)
    corners = _CORNERS[output.boxes](raw)
    return corners * (input_size * 2) if output.units == "normalised" else corners


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


def _cells_of(count: int, strides: tuple[int, ...], input_size: Size) -> Floats:
    found = cells(strides, input_size) if strides else np.empty((0, 3))
    if len(found) != count:
        raise ValueError(f"{count} boxes are not one for each of the {len(found)} cells that strides {list(strides)} "
                         f"make of an input of {input_size[0]}x{input_size[1]}: "
                         "set [output] strides, or [output] boxes, in model.toml")
    return found


def _from_grid(raw: Floats, cell: Floats, encoding: str) -> Floats:
    stride = cell[:, 2:]
    if encoding == "ltrb":  # FCOS: distances from the cell's centre to the four sides
        centre = (cell[:, :2] + 0.5) * stride
        return np.concatenate((centre - raw[:, :2] * stride, centre + raw[:, 2:] * stride), axis=1)
    with np.errstate(over="ignore"):  # an infinite box is dropped as unsound
        size = np.exp(raw[:, 2:]) * stride  # YOLOX, demo_postprocess
    return _from_centre(np.concatenate(((raw[:, :2] + cell[:, :2]) * stride, size), axis=1))


def _from_centre(raw: Floats) -> Floats:
    half = raw[:, 2:] / 2
    return np.concatenate((raw[:, :2] - half, raw[:, :2] + half), axis=1)


def _from_corner(raw: Floats) -> Floats:
    return np.concatenate((raw[:, :2], raw[:, :2] + raw[:, 2:]), axis=1)


_CORNERS = {"xyxy": lambda raw: raw, "yxyx": lambda raw: raw[:, [1, 0, 3, 2]],
            "xywh": _from_corner, "cxcywh": _from_centre}
