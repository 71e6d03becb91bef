"""Every way of preprocessing against a plain reference in Pillow and numpy, on every kind of image."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from inference.calibration import synthetic_image
from inference.geometry import place
from inference.image import decode, open_image
from inference.spec import InputSpec
from inference.transforms import look, to_array
from tests.integration.images import shared
from tests.unit.images import encode, opencv_linear, oriented, photo

MAX_PIXELS = 10**8
SIZE = (200, 150)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LEVEL = 1 / 255


def drawn(mode: str, file_format: str = "PNG") -> bytes:
    return encode(Image.open(io.BytesIO(photo(SIZE, "PNG"))).convert(mode), file_format)


def grey16() -> bytes:
    ramp = np.linspace(0, 65535, SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0]).astype(np.uint16)
    return encode(Image.fromarray(ramp), "PNG")


def mpo() -> bytes:
    """A JPEG with a preview behind it, as phones and drones write it."""
    first, second = Image.open(io.BytesIO(photo(SIZE, "PNG"))), Image.new("RGB", (20, 15))
    return encode(first, "MPO", save_all=True, append_images=[second])


IMAGES = {
    "RGB": lambda: drawn("RGB"), "RGBA": lambda: drawn("RGBA"), "grey": lambda: drawn("L"),
    "16-bit": grey16, "CMYK": lambda: drawn("CMYK", "JPEG"), "palette": lambda: drawn("P"),
    "rotated": lambda: oriented(Image.open(io.BytesIO(photo(SIZE, "PNG"))), 6, "PNG"), "MPO": mpo,
}
VARIANTS = {
    "stretch": {"resize": "stretch", "size": (64, 48)},
    "stretch, cubic": {"resize": "stretch", "size": (64, 48), "resample": "bicubic"},
    "enlarged": {"resize": "stretch", "size": (320, 320)},
    "crop": {"resize": "crop", "size": (64, 64)},
    "crop of a shortest edge": {"resize": "crop", "size": (64, 64), "shortest_edge": 73, "resample": "bicubic"},
    "crop, rounded down": {"resize": "crop", "size": (64, 64), "shortest_edge": 73, "crop_down": True},
    "letterbox": {"resize": "letterbox", "size": (96, 96)},
    "letterbox, top-left on black": {"resize": "letterbox", "size": (96, 64), "anchor": "top-left", "fill": (0, 0, 0)},
    "fit": {"resize": "fit", "size": None, "shortest_edge": 60, "longest_edge": 75, "multiple_of": 32},
    "own size": {"resize": "fit", "size": None},
}


def upright(data: bytes) -> Image.Image:
    """As plainly as it can be written."""
    image = Image.open(io.BytesIO(data))
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) / 256).astype(np.uint8)).convert("RGB")
    return ImageOps.exif_transpose(image).convert("RGB")


def reference_image(image: Image.Image, wanted: InputSpec) -> Image.Image:
    resample = Image.Resampling[wanted.resample.upper()]
    if wanted.resize == "stretch":
        assert wanted.size is not None
        return image.resize(wanted.size, resample)
    if wanted.resize == "crop":
        return reference_crop(image, wanted, resample)
    if wanted.resize == "letterbox":
        return reference_letterbox(image, wanted, resample)
    short, long = min(image.size), max(image.size)
    scale = min((wanted.shortest_edge or short) / short, (wanted.longest_edge or long) / long)
    width, height = (round(side * scale) if side == short else int(side * scale + 1e-9) for side in image.size)
    inner = image.resize((width, height), resample)
    canvas = Image.new("RGB", [-(-side // wanted.multiple_of) * wanted.multiple_of for side in inner.size],
                       (114, 114, 114))
    canvas.paste(inner, (0, 0))
    return canvas


def reference_crop(image: Image.Image, wanted: InputSpec, resample: Image.Resampling) -> Image.Image:
    """torchvision's Resize and CenterCrop; Hugging Face's differs in how the corner is rounded."""
    assert wanted.size is not None
    edge = wanted.shortest_edge or max(wanted.size)
    if image.width <= image.height:
        resized = image.resize((edge, int(edge * image.height / image.width)), resample)
    else:
        resized = image.resize((int(edge * image.width / image.height), edge), resample)
    spare = (resized.width - wanted.size[0], resized.height - wanted.size[1])
    left, top = (side // 2 for side in spare) if wanted.crop_down else (round(side / 2) for side in spare)
    return resized.crop((left, top, left + wanted.size[0], top + wanted.size[1]))


def reference_letterbox(image: Image.Image, wanted: InputSpec, resample: Image.Resampling) -> Image.Image:
    assert wanted.size is not None
    scale = min(wanted.size[0] / image.width, wanted.size[1] / image.height)
    inner = image.resize((round(image.width * scale), round(image.height * scale)), resample)
    canvas = Image.new("RGB", wanted.size, tuple(map(int, wanted.fill)))
    corner = (0, 0) if wanted.anchor == "top-left" else (
        (canvas.width - inner.width) // 2, (canvas.height - inner.height) // 2)
    canvas.paste(inner, corner)
    return canvas


def reference(data: bytes, wanted: InputSpec) -> NDArray[np.float64]:
    placed = reference_image(upright(data), wanted)
    pixels = np.asarray(placed.convert("L") if len(wanted.color) == 1 else placed, np.float64)
    pixels = pixels.reshape(placed.height, placed.width, -1)[:, :, :: -1 if wanted.color == "BGR" else 1]
    normalised = (pixels * wanted.scale - wanted.mean) / wanted.std
    return (normalised.transpose(2, 0, 1) if wanted.layout == "NCHW" else normalised)[np.newaxis]


def ours(data: bytes, wanted: InputSpec) -> NDArray:
    opened = open_image(data, MAX_PIXELS)
    placement = place(opened.info.size, wanted)
    return to_array(look(decode(opened, placement.whole_size), placement, wanted), wanted)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("kind", IMAGES)
def test_every_variant_shows_what_the_reference_shows(kind: str, variant: dict) -> None:
    wanted, data = InputSpec("image", **variant), IMAGES[kind]()
    found, expected = ours(data, wanted), reference(data, wanted)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= LEVEL + 1e-6


def test_an_image_is_filled_up_with_itself_mirrored() -> None:
    pixels = np.asarray(Image.open(io.BytesIO(photo((30, 20), "PNG"))).convert("RGB"))
    wanted = InputSpec("image", None, resize="fit", multiple_of=16, fill="mirror", scale=1.0)
    found = ours(photo((30, 20), "PNG"), wanted)
    expected = np.pad(pixels, ((0, 12), (0, 2), (0, 0)), "symmetric").transpose(2, 0, 1)[np.newaxis]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("color", ["RGB", "BGR", "L", "Y"])
@pytest.mark.parametrize("numbers", [
    {"scale": LEVEL}, {"scale": LEVEL, "mean": MEAN, "std": STD},
    {"scale": 1.0, "mean": (127.5,) * 3, "std": (127.5,) * 3},
    {"scale": 2 / 255, "mean": (1.0,) * 3}, {"scale": 1.0, "mean": (103.9, 116.8, 123.7)},
], ids=["0..1", "ImageNet", "-1..1", "-1..1 by scale", "Caffe"])
@pytest.mark.parametrize(("datatype", "precision"), [("FP32", 1e-6), ("FP16", 1e-3)])
def test_every_normalisation_is_exact(layout: str, color: str, numbers: dict, datatype: str, precision: float) -> None:
    channels = 3 if len(color) == 3 else 1
    numbers = {name: value[:channels] if isinstance(value, tuple) else value for name, value in numbers.items()}
    wanted = InputSpec("image", (64, 48), datatype=datatype, layout=layout, color=color,  # type: ignore[arg-type]
                       **{"mean": (0.0,) * channels, "std": (1.0,) * channels, **numbers})
    found, expected = ours(IMAGES["RGB"](), wanted), reference(IMAGES["RGB"](), wanted)
    assert found.dtype == {"FP32": np.float32, "FP16": np.float16}[datatype]
    assert found.shape == expected.shape
    assert np.allclose(found, expected, rtol=precision, atol=precision * np.abs(expected).max())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("datatype", "numbers", "expected_of"), [
    ("UINT8", {"scale": 1.0}, lambda pixels: pixels),
    ("INT8", {"scale": 1.0, "mean": (128,) * 3}, lambda pixels: pixels.astype(int) - 128),
    ("UINT8", {"scale": 0.5}, lambda pixels: np.rint(pixels / 2)),
    ("INT8", {"scale": 1.0}, lambda pixels: np.minimum(pixels, 127)),
], ids=["pixels", "pixels less 128", "half", "cut off"])
def test_whole_number_inputs_get_whole_numbers(layout: str, datatype: str, numbers: dict, expected_of: object) -> None:
    wanted = InputSpec("image", SIZE, datatype=datatype, layout=layout, **numbers)  # type: ignore[arg-type]
    pixels = np.asarray(upright(IMAGES["RGB"]()))
    expected = expected_of(pixels)  # type: ignore[operator]
    found = ours(IMAGES["RGB"](), wanted)
    assert found.dtype == np.dtype(datatype.lower())
    assert np.array_equal(found[0], expected.transpose(2, 0, 1) if layout == "NCHW" else expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_is_shown_from_its_very_corner(orientation: int) -> None:
    """803 pixels at a quarter are 200.75: the last row and column of what is stored are cut off blocks."""
    data = oriented(synthetic_image((803, 605)), orientation, "JPEG", quality=95, subsampling=0)
    wanted = InputSpec("image", (48, 32), scale=1.0)
    opened = open_image(data, MAX_PIXELS)
    placement = place(opened.info.size, wanted)
    assert decode(opened, placement.whole_size).scale == 0.25
    difference = np.abs(ours(data, wanted) - reference(data, wanted))
    assert difference.max() <= 2


@pytest.mark.parametrize("name", ["DJI_0018.jpg", "DJI_0033.jpg", "derived_DJI_0024_exif6.jpg"])
@pytest.mark.parametrize("side", [224, 320])
def test_large_photographs_are_decoded_at_a_scale_that_shows_the_same(name: str, side: int) -> None:
    """libjpeg's scaled decoding rounds otherwise, most of all where the last block is cut off."""
    path = shared(f"large/{name}")
    if not path.is_file():
        pytest.skip("the shared photographs are not beside the project")
    wanted, data = InputSpec("image", (side, side), scale=1.0), path.read_bytes()
    difference = np.abs(ours(data, wanted) - reference(data, wanted))
    assert difference.mean() < 0.3
    assert (difference > 1).mean() < 0.01


@pytest.mark.parametrize("kind", IMAGES)
def test_a_linear_letterbox_is_opencvs_to_the_bit(kind: str) -> None:
    data = IMAGES[kind]()
    wanted = InputSpec("image", (96, 96), resize="letterbox", resample="linear", scale=1.0)
    found, image = ours_at_full_size(data, wanted), upright(data)
    scale = 96 / max(image.size)
    inner = opencv_linear(image, (round(image.width * scale), round(image.height * scale)))
    canvas = Image.new("RGB", (96, 96), (114, 114, 114))
    canvas.paste(inner, ((96 - inner.width) // 2, (96 - inner.height) // 2))
    assert np.array_equal(found[0].transpose(1, 2, 0), np.asarray(canvas))


def ours_at_full_size(data: bytes, wanted: InputSpec) -> NDArray:
    opened = open_image(data, MAX_PIXELS)
    return to_array(look(decode(opened, None), place(opened.info.size, wanted), wanted), wanted)
