import numpy as np
import pytest

from inference.blending import Blender, weights
from inference.tiling import cut
from tests.unit.test_tiling import GRIDS


@pytest.mark.parametrize(("size", "tile", "overlap"), GRIDS)
@pytest.mark.parametrize("factor", [1, 3])
def test_blended_tiles_of_one_image_are_that_image(size: tuple[int, int], tile: tuple[int, int], overlap: int,
                                                   factor: int) -> None:
    image = np.random.default_rng(0).random((2, size[1] * factor, size[0] * factor)).astype(np.float32)
    tiles, blended = cut(size, tile, overlap), np.full_like(image, np.nan)
    blender = Blender(tiles, factor)
    for left, top, right, bottom in tiles.boxes():
        part = image[:, top * factor:bottom * factor, left * factor:right * factor]
        x, y, complete = blender.add(part)
        area = blended[:, y:y + complete.shape[1], x:x + complete.shape[2]]
        assert np.isnan(area).all(), "each pixel is completed once"
        area[:] = complete
    assert np.allclose(blended, image, atol=1e-5)


@pytest.mark.parametrize("spans", [[(0, 10), (6, 16)], [(0, 10), (6, 16), (8, 18)], [(0, 5)]])
def test_weights_of_all_tiles_sum_to_1_and_fade_towards_a_neighbour(spans: list[tuple[int, int]]) -> None:
    total = np.zeros(spans[-1][1])
    for index, (start, end) in enumerate(spans):
        total[start:end] += weights(spans, index)
    assert np.allclose(total, 1)
    first = weights(spans, 0)
    assert (np.diff(first) <= 0).all()
