"""OpenCV's linear resampling against the same arithmetic written plainly, and against exact interpolation."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.calibration import synthetic_image
from inference.resampling import linear
from tests.unit.images import opencv_linear

SIZES = [((200, 150), (64, 48)), ((64, 48), (200, 150)), ((400, 30), (64, 64)), ((97, 61), (32, 20)),
         ((90, 60), (30, 20)), ((640, 480), (320, 240)), ((3, 2), (7, 5)), ((1, 1), (4, 4)), ((5, 700), (5, 64)),
         ((4000, 3), (640, 3))]


def whole(image: Image.Image) -> tuple[float, float, float, float]:
    return (0, 0, *image.size)


@pytest.mark.parametrize(("before", "after"), SIZES, ids=str)
def test_images_are_resized_as_opencv_does(before: tuple[int, int], after: tuple[int, int]) -> None:
    image = synthetic_image(before)
    found, expected = linear(image, whole(image), after), opencv_linear(image, after)
    assert found.size == after
    assert np.array_equal(np.asarray(found), np.asarray(expected))


def exact(image: Image.Image, size: tuple[int, int]) -> NDArray[np.float64]:
    """Bilinear between pixels' middles, in floating point."""
    pixels = np.asarray(image).astype(np.float64)
    for axis in (0, 1):
        length, count = pixels.shape[axis], size[1 - axis]
        at = np.clip((np.arange(count) + 0.5) * length / count - 0.5, 0, length - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        pixels = (pixels.take(low, axis) * (1 - share) + pixels.take(np.minimum(low + 1, length - 1), axis) * share)
    return pixels


@pytest.mark.parametrize(("before", "after"), SIZES, ids=str)
def test_every_pixel_is_within_a_level_of_exact_interpolation(before: tuple[int, int], after: tuple[int, int]) -> None:
    image = synthetic_image(before)
    assert np.abs(np.asarray(linear(image, whole(image), after)) - exact(image, after)).max() <= 1


@pytest.mark.parametrize("box", [(10, 20, 110, 90), (0, 0, 50, 150), (150, 100, 200, 150)])
@pytest.mark.parametrize("size", [(40, 30), (120, 100)])
def test_a_part_is_resized_as_if_it_were_cut_out(box: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    image = synthetic_image((200, 150))
    found, expected = linear(image, box, size), opencv_linear(image.crop(box), size)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).max() <= 1


def test_single_pixels_are_picked_where_an_image_shrinks() -> None:
    pixels = np.zeros((90, 90, 3), np.uint8)
    pixels[4::9, 4::9] = 255  # the middles of ten by ten squares
    assert (np.asarray(linear(Image.fromarray(pixels), (0, 0, 90, 90), (10, 10))) == 255).all()
