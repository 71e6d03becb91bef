"""Images are shown upright, wherever their files tell how they are to be turned."""

import zlib

import numpy as np
import pytest
from PIL import Image

from inference.formats.orientation import of_exif, of_xmp, orientation
from inference.image import decode, open_image
from tests.unit.images import STORED, chunk, encode, exif_of, oriented, png_with, quadrants, xmp_of

MAX_PIXELS = 10**6
UPRIGHT = (64, 48)
LOSSY_ERROR = 30  # of 255, in the middle of a quadrant


def raw_profile(name: str, block: bytes, packed: bool) -> bytes:
    """As ImageMagick writes it."""
    text = f"\n{name}\n{len(block):8}\n{block.hex()}\n".encode()
    key = f"Raw profile type {name}\0".encode()
    return chunk(b"zTXt", key + b"\0" + zlib.compress(text)) if packed else chunk(b"tEXt", key + text)


def xmp_chunk(block: bytes, packed: bool = False) -> bytes:
    text = zlib.compress(block) if packed else block
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0" + (b"\1\0" if packed else b"\0\0") + b"\0\0" + text)


def is_upright(data: bytes) -> bool:
    opened = open_image(data, MAX_PIXELS)
    image = decode(opened, None).image
    shown = [np.asarray(either).astype(int) for either in (image, quadrants(UPRIGHT))]
    return opened.info.size == image.size == UPRIGHT and all(
        np.abs(shown[0][row, column] - shown[1][row, column]).max() < LOSSY_ERROR
        for row in (12, 36) for column in (16, 48))


def stored(turn: int) -> Image.Image:
    return quadrants(UPRIGHT).transpose(STORED[turn])


@pytest.mark.parametrize("turn", [3, 6, 7])
@pytest.mark.parametrize("is_behind", [False, True], ids=["before the pixels", "behind the pixels"])
@pytest.mark.parametrize("chunks", [
    lambda turn: chunk(b"eXIf", exif_of(turn).removeprefix(b"Exif\0\0")),
    lambda turn: raw_profile("exif", exif_of(turn), packed=True),
    lambda turn: raw_profile("APP1", exif_of(turn), packed=False),
    lambda turn: xmp_chunk(xmp_of(turn)), lambda turn: xmp_chunk(xmp_of(turn), packed=True),
    lambda turn: raw_profile("xmp", xmp_of(turn), packed=True),
    lambda turn: xmp_chunk(xmp_of(1)) + chunk(b"eXIf", exif_of(turn).removeprefix(b"Exif\0\0")),
], ids=["eXIf", "raw exif", "raw APP1", "XMP", "packed XMP", "raw XMP", "eXIf beats XMP"])
def test_a_png_is_upright_wherever_it_tells_its_orientation(chunks, is_behind: bool, turn: int) -> None:
    data = encode(stored(turn), "PNG")
    assert is_upright(png_with(data, behind=chunks(turn)) if is_behind else png_with(data, before=chunks(turn)))


@pytest.mark.parametrize("turn", range(2, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "TIFF"])
def test_xmp_alone_turns_an_image(file_format: str, turn: int) -> None:
    options = {"tiffinfo": {700: xmp_of(turn)}} if file_format == "TIFF" else {"xmp": xmp_of(turn)}
    assert is_upright(encode(stored(turn), file_format, **options))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("file_format", ["AVIF", "HEIC"])
def test_heif_files_are_turned_by_their_own_boxes(file_format: str, turn: int) -> None:
    image = stored(turn) if turn > 1 else quadrants(UPRIGHT)
    assert is_upright(encode(image, file_format, exif=exif_of(turn)))


@pytest.mark.parametrize("block", [b"", b"Exif\0\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"rubbish"])
def test_a_damaged_block_tells_no_orientation(block: bytes) -> None:
    assert of_exif(block) == of_xmp(block) == 0
    assert orientation(block, block) == 1


def test_an_orientation_that_does_not_exist_is_none() -> None:
    assert of_exif(exif_of(9)) == of_exif(exif_of(0)) == of_xmp(xmp_of(9)) == 0


def test_exif_beats_xmp() -> None:
    assert orientation(exif_of(6), xmp_of(3)) == 6
    assert is_upright(oriented(quadrants(UPRIGHT), 6, "JPEG", xmp=xmp_of(3)))
