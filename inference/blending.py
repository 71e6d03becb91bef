"""Arrays of tiles that overlap -> one array without seams. Pure."""

import numpy as np
from numpy.typing import NDArray

from inference.tiling import Tiles


class Blender:
    """It adds up the tiles' values, row by row, with weights that fade out where tiles overlap.

    A pixel is handed out once no later tile covers it, so the blender keeps one tile and the overlaps of one row.
    `factor` is the number of output pixels per pixel of the image, for models that enlarge.
    """

    def __init__(self, tiles: Tiles, factor: int = 1) -> None:
        self._columns = [(start * factor, end * factor) for start, end in tiles.spans(0)]
        self._rows = [(start * factor, end * factor) for start, end in tiles.spans(1)]
        self._next = 0
        self._from_left: NDArray[np.float32] | None = None  # (channels, tile's height, overlap)
        self._from_above: dict[int, NDArray[np.float32]] = {}  # by column: (channels, overlap, complete width)
        self._for_below: dict[int, NDArray[np.float32]] = {}

    def add(self, values: NDArray) -> tuple[int, int, NDArray[np.float32]]:
        """The next tile's values (channels, height, width) -> left, top and values of the pixels that it completes."""
        row, column = divmod(self._next, len(self._columns))
        self._next += 1
        total = values * weights(self._rows, row)[:, None] * weights(self._columns, column)
        self._add_neighbours(total, row, column)
        return self._complete(total, row, column)

    def _add_neighbours(self, total: NDArray[np.float32], row: int, column: int) -> None:
        if column == 0:
            self._from_above, self._for_below = self._for_below, {}
        above = self._from_above.get(column)
        if above is not None:
            total[:, : above.shape[1], : above.shape[2]] += above
        if column > 0 and self._from_left is not None:
            total[:, :, : self._from_left.shape[2]] += self._from_left

    def _complete(self, total: NDArray[np.float32], row: int, column: int) -> tuple[int, int, NDArray[np.float32]]:
        width, height = _own(self._columns, column), _own(self._rows, row)
        self._from_left = total[:, :, width:].copy()
        self._for_below[column] = total[:, height:, :width].copy()
        return self._columns[column][0], self._rows[row][0], total[:, :height, :width]


def weights(spans: list[tuple[int, int]], index: int) -> NDArray[np.float32]:
    """(length of the span,) weights, smaller towards a neighbour; those of all spans that cover a pixel sum to 1."""
    start, end = spans[index]
    positions = np.arange(start, end) + 0.5
    own, *others = (_inwards(positions, spans, number) for number in (index, *_others(spans, index)))
    return (own / (own + sum(others))).astype(np.float32)


def _others(spans: list[tuple[int, int]], index: int) -> list[int]:
    """The spans that overlap one; only the last, which is moved back to the rim, may overlap two before it."""
    start, end = spans[index]
    return [number for number, (left, right) in enumerate(spans) if number != index and left < end and right > start]


def _inwards(positions: NDArray, spans: list[tuple[int, int]], index: int) -> NDArray[np.float64]:
    """How far inside a span positions lie, 0 where outside; the image's rim is no edge."""
    start, end = spans[index]
    from_start = positions - start if index > 0 else np.full(len(positions), end - start + 1.0)
    to_end = end - positions if index + 1 < len(spans) else np.full(len(positions), end - start + 1.0)
    return np.clip(np.minimum(from_start, to_end), 0, None)


def _own(spans: list[tuple[int, int]], index: int) -> int:
    """How much of a span no later one covers."""
    start, end = spans[index]
    return (spans[index + 1][0] if index + 1 < len(spans) else end) - start
