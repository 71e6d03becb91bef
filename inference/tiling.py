"""A large image as a grid of tiles that overlap. Pure; `blending.py` puts what tiles show together again."""

from collections.abc import Iterator
from dataclasses import dataclass

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
    columns, rows = (_starts(image_size[axis], tile[axis], min(overlap, tile[axis] // 2)) for axis in (0, 1))
    count = (len(columns) + 1) * (len(rows) + 1)
    if count > MAX_TILES:
        raise BadParameter(f"parameter 'tile': {count} tiles of {tile[0]}x{tile[1]} pixels, at most "
                           f"{MAX_TILES} are worked on: ask for larger ones")
    last_left, last_top = (max(0, image_size[axis] - tile[axis]) for axis in (0, 1))
    return Tiles(image_size, tile, (*columns, last_left), (*rows, last_top))


def _starts(length: int, tile: int, overlap: int) -> range:
    """Where tiles start but for the last one, which ends at the image's rim."""
    return range(0, max(0, length - tile), tile - overlap)


def _place_tile(tiles: Tiles, box: tuple[int, int, int, int], wanted: InputSpec) -> Placement:
    size = box[2] - box[0], box[3] - box[1]
    if wanted.size is None or wanted.size == tiles.tile:
        return Placement(tiles.image_size, box, tiles.tile, (0, 0, *size))
    inner = place(size, wanted)
    source = (inner.source[0] + box[0], inner.source[1] + box[1], inner.source[2] + box[0], inner.source[3] + box[1])
    return Placement(tiles.image_size, source, inner.input_size, inner.target)
