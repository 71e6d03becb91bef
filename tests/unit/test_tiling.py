from itertools import pairwise

import numpy as np
import pytest

from inference.errors import BadParameter
from inference.spec import InputSpec
from inference.tiling import cut

GRIDS = [((100, 80), (32, 32), 8), ((100, 80), (32, 24), 12), ((33, 32), (32, 32), 0), ((20, 90), (32, 32), 16),
         ((1000, 700), (256, 256), 51), ((65, 65), (64, 64), 31)]


@pytest.mark.parametrize(("size", "tile", "overlap"), GRIDS)
def test_tiles_cover_every_pixel_and_overlap_as_asked(size: tuple[int, int], tile: tuple[int, int],
                                                      overlap: int) -> None:
    tiles = cut(size, tile, overlap)
    covered = np.zeros((size[1], size[0]), int)
    for left, top, right, bottom in tiles.boxes():
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        covered[top:bottom, left:right] += 1
    assert covered.min() >= 1
    for axis in (0, 1):
        spans = tiles.spans(axis)
        assert all(before[1] - after[0] >= overlap for before, after in pairwise(spans))


def test_millions_of_tiles_are_refused_before_they_are_made() -> None:
    with pytest.raises(BadParameter, match="100000000 tiles of 1x1"):
        cut((100_000_000, 1), (1, 1), 0)


def test_no_tile_is_superfluous() -> None:
    assert len(cut((1000, 100), (100, 100), 0)) == 10
    assert len(cut((100, 100), (100, 100), 20)) == 1
    assert len(cut((101, 100), (100, 100), 20)) == 2


def test_a_tile_of_the_inputs_size_is_not_resized() -> None:
    placements = list(cut((100, 40), (64, 64), 16).placements(InputSpec("image", (64, 64))))
    assert [placement.source for placement in placements] == [(0, 0, 64, 40), (36, 0, 100, 40)]
    assert {placement.scale for placement in placements} == {(1, 1)}
    assert {placement.target for placement in placements} == {(0, 0, 64, 40)}


def test_a_tile_of_another_size_is_placed_as_an_image_would_be() -> None:
    first, second = cut((200, 100), (128, 128), 28).placements(InputSpec("image", (64, 64), resize="letterbox"))
    assert (first.source, first.target) == ((0, 0, 128, 100), (0, 7, 64, 57))
    assert (second.source, second.target) == ((72, 0, 200, 100), (0, 7, 64, 57))
