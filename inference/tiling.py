"""A large image as tiles that overlap, and arrays of tiles as one without seams. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadParameter
from inference.geometry import Placement, place
from inference.spec import InputSpec, Size

MAX_TILES = 10_000
OVERLAP_SHARE = 5  # of a tile, a fifth, where nobody says otherwise


@dataclass(frozen=True)
class Tiles:
    """A grid of equal tiles over an image, row by row; the last of a row ends at the image's rim.

    `lefts` and `tops` are the tiles' corners in pixels. An image smaller than a tile has one, larger than the image.
    """

    image_size: Size
    tile: Size
    lefts: tuple[int, ...]
    tops: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.lefts) * len(self.tops)

    def spans(self, axis: int) -> list[tuple[int, int]]:
        """(start, end) of each column (axis 0) or row (axis 1), within the image."""
        starts = (self.lefts, self.tops)[axis]
        return [(start, min(start + self.tile[axis], self.image_size[axis])) for start in starts]

    def boxes(self) -> Iterator[tuple[int, int, int, int]]:
        """Left, top, right, bottom of each tile, row by row."""
        for top, bottom in self.spans(1):
            for left, right in self.spans(0):
                yield left, top, right, bottom

    def placements(self, wanted: InputSpec) -> Iterator[Placement]:
        """Where each tile lands on the model's input: as it is where the tile has the input's size, else resized."""
        for box in self.boxes():
            yield _place_tile(self, box, wanted)


def cut(image_size: Size, tile: Size, overlap: int) -> Tiles:
    """The fewest tiles that cover the image with at least `overlap` pixels between neighbours.

    Raises:
        BadParameter: they are more than MAX_TILES.
    """
    lefts, tops = (_starts(image_size[axis], tile[axis], min(overlap, tile[axis] // 2)) for axis in (0, 1))
    if len(lefts) * len(tops) > MAX_TILES:
        raise BadParameter(f"parameter 'tile': {len(lefts) * len(tops)} tiles of {tile[0]}x{tile[1]} pixels, at most "
                           f"{MAX_TILES} are worked on: ask for larger ones")
    return Tiles(image_size, tile, lefts, tops)


class Blender:
    """Adds up the tiles' values with weights that fade out where tiles overlap, row by row.

    A pixel is handed out once no later tile covers it, so what is held is one tile and the overlaps of one row.
    `factor` is the number of output pixels per pixel of the image, for models that enlarge.
    """

    def __init__(self, tiles: Tiles, factor: int = 1) -> None:
        self._columns = [(start * factor, end * factor) for start, end in tiles.spans(0)]
        self._rows = [(start * factor, end * factor) for start, end in tiles.spans(1)]
        self._next = 0
        self._from_left: NDArray[np.float32] | None = None  # (channels, tile's height, overlap)
        self._from_above: dict[int, NDArray[np.float32]] = {}  # by column: (channels, overlap, finished width)
        self._for_below: dict[int, NDArray[np.float32]] = {}

    def add(self, values: NDArray) -> tuple[int, int, NDArray[np.float32]]:
        """The next tile's values (channels, height, width) -> left, top and values of the pixels it finishes."""
        row, column = divmod(self._next, len(self._columns))
        self._next += 1
        total = values * weights(self._rows, row)[:, None] * weights(self._columns, column)
        self._take_over(total, row, column)
        return self._finish(total, row, column)

    def _take_over(self, total: NDArray[np.float32], row: int, column: int) -> None:
        if column == 0:
            self._from_above, self._for_below = self._for_below, {}
        above = self._from_above.get(column)
        if above is not None:
            total[:, : above.shape[1], : above.shape[2]] += above
        if column > 0 and self._from_left is not None:
            total[:, :, : self._from_left.shape[2]] += self._from_left

    def _finish(self, total: NDArray[np.float32], row: int, column: int) -> tuple[int, int, NDArray[np.float32]]:
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


def _starts(length: int, tile: int, overlap: int) -> tuple[int, ...]:
    if length <= tile:
        return (0,)
    return (*range(0, length - tile, tile - overlap), length - tile)


def _place_tile(tiles: Tiles, box: tuple[int, int, int, int], wanted: InputSpec) -> Placement:
    size = box[2] - box[0], box[3] - box[1]
    if wanted.size is None or wanted.size == tiles.tile:
        return Placement(tiles.image_size, box, tiles.tile, (0, 0, *size))
    inner = place(size, wanted)
    source = (inner.source[0] + box[0], inner.source[1] + box[1], inner.source[2] + box[0], inner.source[3] + box[1])
    return Placement(tiles.image_size, source, inner.input_size, inner.target)
