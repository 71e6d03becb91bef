"""Encoded images for tests."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from inference.calibration import synthetic_image

ORIENTATION = 0x0112
Size = tuple[int, int]


def encode(image: Image.Image, file_format: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def photo(size: Size = (64, 48), file_format: str = "JPEG", **options: Any) -> bytes:
    """Noise at several scales, as a photograph has it."""
    return encode(synthetic_image(size), file_format, **options)


def plain(size: Size = (64, 48)) -> Image.Image:
    """All grey."""
    return Image.new("RGB", size, (128, 128, 128))


def quadrants(size: Size = (64, 48)) -> Image.Image:
    """Red, green, blue, white: upper left, upper right, lower left, lower right."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    middle_x, middle_y = size[0] // 2, size[1] // 2
    pixels[:middle_y, :middle_x, 0] = pixels[:middle_y, middle_x:, 1] = pixels[middle_y:, :middle_x, 2] = 255
    pixels[middle_y:, middle_x:] = 255
    return Image.fromarray(pixels)


# What a camera that was held so stores: the upright image, turned by this.
STORED = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_270}


def oriented(upright: Image.Image, orientation: int, file_format: str, **options: object) -> bytes:
    """Stored as a camera held that way does, with the EXIF tag that tells it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = upright.transpose(STORED[orientation]) if orientation in STORED else upright
    return encode(stored, file_format, exif=exif, **options)


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces its size and has no pixels."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(
        b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def big_endian_grey16_tiff(pixels: np.ndarray) -> bytes:
    """As scanners write it; Pillow itself writes little-endian only."""
    height, width = pixels.shape
    data = pixels.astype(">u2").tobytes()
    short, long = 3, 4
    tags = [(256, short, width), (257, short, height), (258, short, 16), (259, short, 1), (262, short, 1),
            (273, long, 8), (277, short, 1), (278, short, height), (279, long, len(data))]
    entries = b"".join(struct.pack(">HHI", tag, kind, 1) + (
        struct.pack(">HH", value, 0) if kind == short else struct.pack(">I", value)) for tag, kind, value in tags)
    return b"MM\0*" + struct.pack(">I", 8 + len(data)) + data + struct.pack(">H", len(tags)) + entries + bytes(4)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def opencv_linear(image: Image.Image, size: Size) -> Image.Image:
    """As `cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)`: each pixel between four, in whole numbers."""
    pixels = np.asarray(image).astype(np.int64)
    (left, right, across), (above, below, down) = (_taps(image.size[axis], size[axis]) for axis in (0, 1))
    rows = [pixels[row][:, left] * across[0][:, None] + pixels[row][:, right] * across[1][:, None]
            for row in (above, below)]
    upper, lower = ((row >> 4) * weight[:, None, None] >> 16 for row, weight in zip(rows, down, strict=True))
    return Image.fromarray((upper + lower + 2 >> 2).astype(np.uint8))


def _taps(length: int, count: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """The pixels before and behind each of `count` positions, and both weights in 2048ths."""
    at = ((np.arange(count) + 0.5) * (length / count) - 0.5).astype(np.float32)
    first = np.floor(at).astype(int)
    weights = [np.rint(share * np.float32(2048)).astype(np.int64) for share in (1 - (at - first), at - first)]
    return first.clip(0, length - 1), (first + 1).clip(0, length - 1), weights
