"""What headers tell, and what is refused by them."""

import struct
import time
import zlib
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from inference.errors import TooManyPixels, UnsupportedImage
from inference.formats import heif, png, webp
from inference.formats.header import Header
from inference.image import MAX_SIDE, decode, open_image
from inference.image_info import ImageInfo
from tests.unit.images import (
    STORED,
    chunk,
    encode,
    photo,
    plain,
    png_header,
    png_with,
    quadrants,
    rle_bmp,
    tiff,
    webp_header,
    xmp_of,
)

MAX_PIXELS = 100_000_000


def info(data: bytes) -> ImageInfo:
    return open_image(data, MAX_PIXELS).info


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(open_image(data, MAX_PIXELS), None).image).astype(int)


def seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


@pytest.mark.parametrize(("mode", "file_format", "options", "coding"), [
    *((mode, "PNG", {}, "") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    ("RGB", "WEBP", {}, ""), ("RGBA", "WEBP", {}, ""), ("RGB", "WEBP", {"lossless": True}, "lossless"),
    ("RGBA", "WEBP", {"lossless": True}, "lossless"), ("RGB", "AVIF", {}, ""), ("RGBA", "AVIF", {}, ""),
    ("RGB", "HEIC", {}, ""), ("RGBA", "HEIC", {}, ""), ("RGB", "HEIC", {"tile_size": 64}, "grid"),
    ("RGB", "TIFF", {"compression": "tiff_lzw"}, "lzw"), ("RGB", "TIFF", {}, ""), ("RGB", "BMP", {}, ""),
    ("P", "GIF", {}, "")])
@pytest.mark.parametrize("size", [(200, 130), (65, 77)])
def test_a_header_tells_what_is_decoded(mode: str, file_format: str, options: dict, coding: str,
                                        size: tuple[int, int]) -> None:
    image = Image.new(mode, size) if mode == "I;16" else quadrants(size).convert(mode)
    opened = open_image(encode(image, file_format, **options), MAX_PIXELS)
    loaded, _ = opened.load(1, lambda: None, None)
    assert (opened.info.size, opened.info.format, opened.info.coding) == (size, file_format, coding)
    assert (loaded.size, loaded.mode) == (size, opened.info.mode)


@pytest.mark.parametrize("file_format", ["AVIF", "HEIC", "WEBP"])
def test_what_phones_write_is_decoded(file_format: str) -> None:
    found = pixels(encode(quadrants((320, 240)), file_format))
    for row, column in ((60, 80), (60, 240), (180, 80), (180, 240)):
        assert np.abs(found[row, column] - np.asarray(quadrants((320, 240)))[row, column].astype(int)).max() < 30


def test_a_heic_of_tiles_is_decoded_as_a_whole() -> None:
    whole, tiled = (pixels(encode(quadrants((320, 240)), "HEIC", **options)) for options in ({}, {"tile_size": 64}))
    assert np.abs(whole - tiled).mean() < 3


def test_an_interlaced_png_says_so() -> None:
    data = bytearray(png_header(8, 8))
    data[28] = 1
    assert png.read(bytes(data)).coding == "interlaced"


@pytest.mark.parametrize(("data", "name"), [
    (b"", "empty"), (b"%PDF-1.7\n", "a PDF"), (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"),
    (b"P6\n3 3\n255\n", "a PPM"),
    (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"), (b"<!DOCTYPE html><p>", "HTML"),
    (b"\0\0\0\x18ftypisom" + bytes(50), "video"), (b"\x1f\x8b\x08\0", "gzip"), (b"hello", "a text"),
    ("딸기 잎".encode() * 99, "a text"), (b"\1\2\3\4", "01 02 03 04"), (b"\xff\xd8\xfe", "ff d8 fe")])
def test_a_refusal_names_what_came_and_what_is_taken(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedImage) as refusal:
        info(data)
    assert name in str(refusal.value)
    assert "video" in name or "JPEG, PNG, WebP, AVIF, HEIC, BMP, GIF, TIFF" in str(refusal.value)


def test_a_damaged_image_is_named_by_its_format() -> None:
    for data in (b"\x89PNG\r\n\x1a\n" + bytes(40), b"BM" + bytes(60), b"RIFF\0\0\0\0WEBPVP8 ", b"II*\0" + b"\xff" * 99):
        with pytest.raises(UnsupportedImage, match=r"PNG|BMP|WebP|TIFF"):
            info(data)


@pytest.mark.parametrize("data", [
    png_header(1, 100_000_000, 1, 0), png_header(100_000_000, 1), png_header(MAX_SIDE + 1, 1),
    webp_header(16_383, 16_383)], ids=["a column", "a row", "a pixel too long", "webp"])
def test_a_few_bytes_cannot_ask_for_gigabytes(data: bytes) -> None:
    with pytest.raises(TooManyPixels):
        info(data)


def test_the_longest_side_is_taken() -> None:
    assert info(encode(Image.new("1", (MAX_SIDE, 2)), "PNG")).width == MAX_SIDE
    assert decode(open_image(encode(Image.new("L", (2, MAX_SIDE)), "PNG"), MAX_PIXELS), None).image.height == MAX_SIDE


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(UnsupportedImage, match="no pixels"):
        info(png_header(0, 5))


@pytest.mark.parametrize("more", [
    chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(5_000_000))) * 12, chunk(b"prVt", b"") * 30_000,
    chunk(b"tEXt", b"icc_profile\0no profile"), chunk(b"iCCP", b"x\0\0" + zlib.compress(b"none")),
    chunk(b"tEXt", b"exif\0none") + chunk(b"pHYs", b"bad"),
], ids=["texts", "many", "icc_profile", "a bad profile", "odd"])
@pytest.mark.parametrize("is_behind", [False, True], ids=["before", "behind"])
def test_chunks_around_a_pngs_pixels_cost_nothing(more: bytes, is_behind: bool) -> None:
    data = encode(quadrants(), "PNG")
    data = png_with(data, behind=more) if is_behind else png_with(data, before=more)
    assert min(seconds(lambda: pixels(data)) for _ in range(3)) < 0.3
    assert np.array_equal(pixels(data), np.asarray(quadrants()))


def test_a_png_of_more_bytes_than_its_pixels_need_is_refused() -> None:
    empty_blocks = chunk(b"IDAT", b"\x78\x01" + b"\0\0\0\xff\xff" * 100_000)
    with pytest.raises(UnsupportedImage, match="unpacked"):
        info(png_header(10, 10)[:33] + empty_blocks + chunk(b"IEND", b""))


def test_a_png_stored_without_compression_is_taken() -> None:
    data = photo((300, 200), "PNG", compress_level=0)
    assert pixels(data).shape == (200, 300, 3)


def test_run_length_coding_that_leads_nowhere_ends_soon() -> None:
    """Pillow reads it in Python, byte by byte: 30 MB took a minute."""
    data = rle_bmp((100, 100), b"\0\0" * 5_000_000)
    assert info(data).coding == "RLE"
    def refused() -> None:
        with pytest.raises(UnsupportedImage):
            pixels(data)
    assert seconds(refused) < 0.3


def test_run_length_coding_is_decoded() -> None:
    found = pixels(rle_bmp((4, 2), b"\2\0\2\1\0\0\4\1\0\1"))
    assert found[0].tolist() == [[255, 0, 0]] * 4
    assert found[1].tolist() == [[0, 0, 255]] * 2 + [[255, 0, 0]] * 2


def test_tiles_much_larger_than_their_image_are_refused() -> None:
    data = tiff(np.zeros((8, 8), np.uint8), t322=(4, 30_000), t323=(4, 30_000))
    with pytest.raises(UnsupportedImage, match="tiles"):
        info(data)


def test_strips_are_counted() -> None:
    rows = encode(plain((800, 500)), "TIFF", compression="tiff_lzw", tiffinfo={278: 5})
    assert info(rows).pieces == 100


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "deflate"])
def test_odd_tags_of_a_tiff_cost_nothing(order: Literal["<", ">"], packed: bool) -> None:
    """Pillow and libtiff took 100 ms for them."""
    ramp = np.arange(50 * 50, dtype=np.uint8).reshape(50, 50)
    data = tiff(ramp, order, packed, **{f"t{40_000 + number}": (4, 7) for number in range(1_900)})
    assert np.array_equal(pixels(data)[:, :, 0], ramp)
    assert min(seconds(lambda: pixels(data)) for _ in range(3)) < 0.05


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}])
@pytest.mark.parametrize("turn", [1, 6])
def test_a_tiff_with_layers_is_read(options: dict, turn: int) -> None:
    """As Photoshop writes it, with megabytes in one tag, a profile, and an orientation in XMP."""
    more = {700: xmp_of(turn), 34675: bytes(600_000), 37724: bytes(3_000_000)}
    image = quadrants().transpose(STORED[turn]) if turn > 1 else quadrants()
    data = encode(image, "TIFF", tiffinfo=more, **options)
    assert info(data).size == quadrants().size
    assert np.array_equal(pixels(data), np.asarray(quadrants()))


def test_too_many_strips_are_refused() -> None:
    with pytest.raises(UnsupportedImage, match="30000 strips"):
        one, many = (struct.pack("<HHI", 273, 4, count) for count in (1, 10**6))
        info(tiff(np.zeros((8, 8), np.uint8)).replace(one, many))


def test_tiles_of_a_heif_that_its_image_does_not_need_are_refused() -> None:
    data = encode(plain((320, 240)), "HEIC", tile_size=64)
    small = data.replace(b"ispe\0\0\0\0" + struct.pack(">II", 320, 240), b"ispe\0\0\0\0" + struct.pack(">II", 32, 24))
    with pytest.raises(UnsupportedImage, match="more tiles"):
        info(small)


@pytest.mark.parametrize(("read", "file_format"), [(png.read, "PNG"), (webp.read, "WEBP"), (heif.read, "AVIF"),
                                                   (heif.read, "HEIC")])
def test_a_header_that_is_cut_off_anywhere_is_read_or_refused(read: Callable[[bytes], Header],
                                                              file_format: str) -> None:
    data = encode(quadrants(), file_format)
    for end in range(12, min(len(data), 700)):
        try:
            assert (read(data[:end]).width, read(data[:end]).height) == quadrants().size
        except UnsupportedImage as error:
            assert str(error)
