import numpy as np
import pytest
from PIL import Image

from inference.cost import synthetic_picture
from inference.transforms import LETTERBOX_FILL, crop, letterbox, normalise, stretch, to_planes

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("size", [(32, 32), (48, 20), (200, 160)])
def test_stretch_is_pillows_bilinear_resize(size: tuple[int, int]) -> None:
    image = synthetic_picture((100, 80))
    assert stretch(image, size).tobytes() == image.resize(size, Image.Resampling.BILINEAR).tobytes()


def test_stretch_leaves_an_image_of_the_right_size_alone() -> None:
    image = synthetic_picture((32, 32))
    assert stretch(image, (32, 32)) is image


@pytest.mark.parametrize(("image_size", "size", "box"), [
    ((100, 80), (40, 40), (10, 0, 90, 80)),
    ((80, 100), (40, 40), (0, 10, 80, 90)),
    ((100, 80), (40, 20), (0, 15, 100, 65)),
    ((20, 10), (40, 40), (5, 0, 15, 10)),
])
def test_crop_cuts_the_middle_out(image_size: tuple[int, int], size: tuple[int, int],
                                  box: tuple[int, int, int, int]) -> None:
    image = synthetic_picture(image_size)
    reference = image.crop(box).resize(size, Image.Resampling.BILINEAR)
    difference = np.subtract(np.asarray(crop(image, size), float), np.asarray(reference, float))
    assert crop(image, size).size == size
    assert np.abs(difference[2:-2, 2:-2]).max() <= 1  # at its edge the crop knows the pixels beyond


@pytest.mark.parametrize(("image_size", "inner"), [((100, 50), (40, 20)), ((50, 100), (20, 40)), ((1000, 1), (40, 1))])
def test_letterbox_shows_the_whole_image_on_grey(image_size: tuple[int, int], inner: tuple[int, int]) -> None:
    image = synthetic_picture(image_size)
    reference = Image.new("RGB", (40, 40), LETTERBOX_FILL)
    reference.paste(image.resize(inner, Image.Resampling.BILINEAR), ((40 - inner[0]) // 2, (40 - inner[1]) // 2))
    assert letterbox(image, (40, 40)).tobytes() == reference.tobytes()


def test_planes_follow_the_colour_order() -> None:
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    assert to_planes(image, "RGB")[0, 0].tolist() == [10, 20, 30]
    assert to_planes(image, "BGR")[0, 0].tolist() == [30, 20, 10]
    grey = to_planes(image, "L")
    assert grey.shape == (1, 2, 1)
    assert grey[0, 0].tolist() == [image.convert("L").getpixel((0, 0))]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("channels", "scale", "mean", "std"), [
    (3, 1 / 255, MEAN, STD), (3, 1.0, (127.5,) * 3, (127.5,) * 3), (3, 1 / 255, (0.0,) * 3, (1.0,) * 3),
    (1, 1 / 255, (0.5,), (0.25,)),
])
def test_normalising_is_scale_minus_mean_over_std(layout: str, channels: int, scale: float, mean: tuple[float, ...],
                                                  std: tuple[float, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, channels), np.uint8)
    reference = ((pixels.astype(np.float64) * scale - mean) / std)[np.newaxis]
    batch = normalise(pixels, scale, mean, std, layout)
    assert batch.dtype == np.float32
    assert np.allclose(batch, reference.transpose(0, 3, 1, 2) if layout == "NCHW" else reference, atol=1e-5)
