import io
import time

import numpy as np
import pytest
from PIL import Image

from inference import image as module
from inference.errors import TooManyPixels, UnsupportedImage
from inference.image import open_image
from inference.image_info import ImageInfo, jpeg_scale
from tests.unit.images import (
    ORIENTATION,
    big_endian_grey16_tiff,
    chunk,
    encode,
    oriented,
    photo,
    png_header,
    quadrants,
)

MAX_PIXELS = 50_000_000
LOSSY_ERROR = 30  # of 255, in the middle of a quadrant
RAMP = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)


def probe(data: bytes, max_pixels: int) -> ImageInfo:
    return open_image(data, max_pixels).info


def decode(data: bytes, wanted: tuple[int, int] | None, max_pixels: int) -> tuple[Image.Image, ImageInfo]:
    opened = open_image(data, max_pixels)
    return module.decode(opened, wanted).image, opened.info


def pixels_of(data: bytes, wanted: tuple[int, int] | None = None) -> np.ndarray:
    return np.asarray(decode(data, wanted, MAX_PIXELS)[0]).astype(int)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_decoded_as_a_person_sees_them(orientation: int, file_format: str) -> None:
    upright = quadrants((64, 48))
    image, info = decode(oriented(upright, orientation, file_format), None, MAX_PIXELS)
    assert (info.width, info.height) == image.size == (64, 48)
    for middle in ((16, 12), (48, 12), (16, 36), (48, 36)):
        seen, expected = (np.asarray(either)[middle[::-1]].astype(int) for either in (image, upright))
        assert np.abs(seen - expected).max() < LOSSY_ERROR


@pytest.mark.parametrize("data", [
    photo(), photo(file_format="PNG"), encode(quadrants().convert("L")), oriented(quadrants(), 6, "JPEG"),
    photo(progressive=True), photo().removesuffix(b"\xff\xd9")])
def test_an_image_is_decoded_into_the_corner_of_a_canvas(data: bytes) -> None:
    expected, canvas = pixels_of(data), Image.new("RGB", (100, 90), "white")
    assert module.decode(open_image(data, MAX_PIXELS), None, canvas=canvas).image is canvas
    found = np.asarray(canvas).astype(int)
    assert (found[:expected.shape[0], :expected.shape[1]] == expected).all()
    assert (found[expected.shape[0]:] == 255).all()
    assert (found[:, expected.shape[1]:] == 255).all()


def test_an_upright_jpeg_is_not_copied_into_its_canvas(monkeypatch: pytest.MonkeyPatch) -> None:
    canvas = Image.new("RGB", (100, 90))
    monkeypatch.setattr(canvas, "paste", None)
    module.decode(open_image(photo(), MAX_PIXELS), None, canvas=canvas)
    assert canvas.getbbox() == (0, 0, 64, 48)


@pytest.mark.parametrize("orientation", [3, 6])
def test_probe_and_decode_agree_on_size_and_rotation(orientation: int) -> None:
    data = oriented(quadrants((640, 480)), orientation, "JPEG")
    assert probe(data, MAX_PIXELS) == decode(data, (32, 32), MAX_PIXELS)[1]
    assert probe(data, MAX_PIXELS).rotated == (orientation == 6)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_leaves_an_image_readable() -> None:
    data = photo((64, 48), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data, None, MAX_PIXELS)[1].width == 64


def test_an_image_with_a_preview_behind_it_is_read_as_jpeg_is() -> None:
    data = encode(quadrants(), "MPO", save_all=True, append_images=[quadrants()])
    assert probe(data, MAX_PIXELS).format == "MPO"
    assert np.abs(pixels_of(data) - np.asarray(quadrants()).astype(int)).mean() < LOSSY_ERROR


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    source = quadrants().convert(mode)
    image, info = decode(encode(source, "PNG"), None, MAX_PIXELS)
    assert (image.mode, info.format) == ("RGB", "PNG")
    assert np.array_equal(np.asarray(image), np.asarray(source.convert("RGB")))


def test_cmyk_becomes_rgb() -> None:
    pixels = pixels_of(encode(quadrants().convert("CMYK"), "JPEG", quality=95))
    assert np.abs(pixels - np.asarray(quadrants()).astype(int)).mean() < LOSSY_ERROR


@pytest.mark.parametrize("data", [
    encode(Image.fromarray(RAMP), "PNG"), encode(Image.fromarray(RAMP), "TIFF"), big_endian_grey16_tiff(RAMP),
], ids=["png", "tiff", "big-endian tiff"])
def test_16_bit_grey_keeps_its_range(data: bytes) -> None:
    assert np.abs(pixels_of(data)[:, :, 0] - RAMP / 256).max() <= 1


def test_a_progressive_jpeg_says_so() -> None:
    assert probe(photo(progressive=True), MAX_PIXELS).progressive
    assert not probe(photo(), MAX_PIXELS).progressive


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("data", [
    b"", b"no image, but text", b"\xff\xd8\xff", photo()[:20], b"%PDF-1.7\n", photo(file_format="PPM"),
    photo(file_format="ICO"), b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"II*\0" + b"\xff" * 100, b"\0" * 5000,
], ids=["nothing", "text", "three bytes", "20 bytes", "pdf", "ppm", "ico", "svg", "damaged tiff", "zeros"])
def test_what_is_no_served_image_is_refused_from_its_header(data: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        probe(data, MAX_PIXELS)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"])
def test_a_truncated_image_is_refused(file_format: str) -> None:
    data = photo((200, 200), file_format)
    for eighths in range(1, 8):
        with pytest.raises(UnsupportedImage) as refusal:
            decode(data[:len(data) * eighths // 8], None, MAX_PIXELS)
        assert " at 0x" not in str(refusal.value)
        assert str(refusal.value).isprintable()


def test_a_damaged_png_is_refused() -> None:
    data = bytearray(photo((200, 200), "PNG"))
    data[len(data) // 2] ^= 0xff
    with pytest.raises(UnsupportedImage):
        decode(bytes(data), None, MAX_PIXELS)


@pytest.mark.parametrize("data", [
    b"\xff\xd8" + b"\xff\xe1\x00\x02" * 1_000_000, png_header(10, 10)[:33] + chunk(b"prVt", b"") * 400_000,
], ids=["jpeg", "png"])
def test_a_header_of_a_million_pieces_is_refused_soon(data: bytes) -> None:
    """Pillow reads each in Python; 32 MB of them would take 26 s of a thread and of the interpreter's lock."""
    began = time.process_time()
    with pytest.raises(UnsupportedImage):
        probe(data, MAX_PIXELS)
    assert time.process_time() - began < 0.5


def test_pixels_are_counted_from_the_header() -> None:
    huge = png_header(20_000, 10_000)
    for read in (lambda: probe(huge, MAX_PIXELS), lambda: decode(huge, (32, 32), MAX_PIXELS)):
        with pytest.raises(TooManyPixels, match="20000x10000 is 200"):
            read()
    assert probe(huge, 200_000_000).megapixels == 200


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_scaled_decoding_shows_what_full_decoding_shows(options: dict) -> None:
    data = photo((1024, 768), quality=90, **options)
    drafted, full = decode(data, (64, 64), MAX_PIXELS)[0], decode(data, None, MAX_PIXELS)[0]
    assert drafted.size != full.size == (1024, 768)
    small = [np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR)).astype(int) for image in (drafted, full)]
    assert np.abs(small[0] - small[1]).mean() < 1.0


@pytest.mark.parametrize("stored", [(640, 480), (641, 479), (256, 256), (255, 255), (2000, 100), (100, 2000), (40, 30)])
@pytest.mark.parametrize("wanted", [(32, 32), (64, 32), (33, 47), (300, 300)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_predicted_scale_is_the_one_that_libjpeg_takes(stored: tuple[int, int], wanted: tuple[int, int],
                                                           orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.new("RGB", stored), exif=exif)
    image, info = decode(data, wanted, MAX_PIXELS)
    scale = jpeg_scale(info, wanted)
    assert image.size == (-(-info.width // scale), -(-info.height // scale))
    assert scale == 1 or (image.width >= wanted[0] and image.height >= wanted[1])


def test_other_formats_are_decoded_in_full() -> None:
    data = photo((640, 480), "PNG")
    image, info = decode(data, (32, 32), MAX_PIXELS)
    assert image.size == (640, 480)
    assert jpeg_scale(info, (32, 32)) == 1


def test_an_animation_shows_its_first_frame() -> None:
    data = encode(Image.new("RGB", (8, 8), "red"), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert decode(data, None, MAX_PIXELS)[0].getpixel((4, 4)) == (255, 0, 0)


def test_what_is_told_of_an_image_is_its_size_and_format() -> None:
    assert ImageInfo(4, 3, "JPEG", True, True).to_dict() == {"width": 4, "height": 3, "format": "JPEG"}


def test_pillows_own_limit_does_not_come_in_between() -> None:
    assert Image.MAX_IMAGE_PIXELS is None
    assert Image.open(io.BytesIO(png_header(20_000, 10_000))).size == (20_000, 10_000)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_tags_of_megabytes_are_not_read(file_format: str) -> None:
    """3.5 million rationals in one tag took 8 s, and as orientation of a PNG 16 s."""
    exif = Image.Exif()
    exif[ORIENTATION] = tuple([1] * 600_000)
    began = time.process_time()
    try:
        decode(encode(quadrants(), file_format, exif=exif.tobytes()), None, MAX_PIXELS)
    except UnsupportedImage as error:
        assert file_format == "TIFF", error
    assert time.process_time() - began < 3
