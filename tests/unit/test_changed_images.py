"""Image files with bytes changed, cut out, doubled or cut off: each is an image or refused, whatever a decoder makes
of it. `python -m tools.hostile` sends many more of them through the whole service."""

from contextlib import suppress

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from inference.errors import TooManyPixels, UnsupportedImage
from inference.image import decode, open_image
from inference.image_info import decoded_bytes
from inference.workload import decoding
from tests.unit.images import encode, exif_of, png_with, quadrants, rle_bmp, xmp_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of odd files
MAX_PIXELS = 1_000_000
EXTREMES = (b"\0", b"\x7f", b"\xff", b"\0\0\0\0", b"\xff\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\1\0")
EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True,
                    suppress_health_check=[HealthCheck.function_scoped_fixture])
Edit = tuple[int, bytes, int]  # where, what is put there, how many bytes it takes the place of


def files() -> dict[str, bytes]:
    image, frames = quadrants(), {"save_all": True, "append_images": [Image.new("RGB", (64, 48))]}
    return {
        "jpeg": encode(image, exif=exif_of(6)), "progressive": encode(image, progressive=True, xmp=xmp_of(3)),
        "mpo": encode(image, "MPO", **frames), "png": png_with(encode(image, "PNG", exif=exif_of(5))),
        "webp": encode(image, "WEBP", exif=exif_of(8)), "lossless": encode(image, "WEBP", lossless=True),
        "animated": encode(image, "WEBP", **frames), "avif": encode(image, "AVIF", exif=exif_of(6)),
        "heic": encode(quadrants((96, 80)), "HEIC", tile_size=64), "gif": encode(image, "GIF", **frames),
        "bmp": encode(image, "BMP"), "rle": rle_bmp((4, 2), b"\2\0\2\1\0\0\4\1\0\1"), "tiff": encode(image, "TIFF"),
        "lzw": encode(image, "TIFF", compression="tiff_lzw")}


FILES = files()
edits = some.lists(some.tuples(some.integers(0, 700), some.one_of(some.sampled_from(EXTREMES), some.binary(max_size=8)),
                               some.integers(0, 12)), min_size=1, max_size=4)


def changed(name: str, edits: list[Edit], kept: float) -> bytes:
    data = bytearray(FILES[name])
    for at, put, instead_of in edits:
        at %= len(data) + 1
        data[at:at + instead_of] = put
    return bytes(data[:round(len(data) * kept)])


@EXAMPLES
@given(some.sampled_from(sorted(FILES)), edits, some.sampled_from([1.0, 1.0, 1.0, 0.9, 0.3]))
def test_a_changed_file_is_an_image_or_refused(name: str, edits: list[Edit], kept: float) -> None:
    with suppress(UnsupportedImage, TooManyPixels):
        opened = open_image(changed(name, edits, kept), MAX_PIXELS)
        assert decoding(opened.info, None).amounts >= (1.0, 0.0, 0.0)
        assert decoded_bytes(opened.info, None) > 0
        pixels = decode(opened, None)
        assert (pixels.image.mode, pixels.image.size, pixels.image.info) == ("RGB", opened.info.size, {})


@EXAMPLES
@given(some.sampled_from(sorted(FILES)), edits, some.sampled_from([1.0, 0.3]))
def test_a_changed_file_is_answered_or_refused_by_its_header(client: FlaskClient, name: str, edits: list[Edit],
                                                             kept: float) -> None:
    answer = client.post("/predict?model_type=leaf", data=changed(name, edits, kept), content_type="image/*")
    assert answer.status_code in (200, 202, 415, 422)


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_unchanged_file_is_decoded(name: str) -> None:
    opened = open_image(FILES[name], MAX_PIXELS)
    assert decode(opened, None).image.size == opened.info.size
