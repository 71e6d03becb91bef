"""Images for the tests, as encoded bytes."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path

from PIL import Image

from inference.calibration import synthetic_image
from settings import ROOT

SHARED = ROOT.parent / "shared" / "data"
LEAF = ROOT / "samples" / "leaf.jpg"


def encoded(image: Image.Image, file_format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@cache
def leaf(side: int = 224) -> bytes:
    """A drawn leaf, as a quick image."""
    return encoded(Image.open(LEAF).resize((side, side)), quality=90)


@cache
def white(side: int = 64) -> bytes:
    """What the sleeper model computes long on."""
    return encoded(Image.new("RGB", (side, side), "white"))


@cache
def photograph(megapixels: float, file_format: str = "JPEG") -> bytes:
    """A synthetic image of a 16:10 frame with a photograph's statistics."""
    height = round((megapixels * 1e6 / 1.6) ** 0.5)
    options = {"compress_level": 1} if file_format == "PNG" else {"quality": 85}
    return encoded(synthetic_image((round(height * 1.6), height)), file_format, **options)


def flat_png(width: int, height: int) -> bytes:
    """Many pixels in few bytes."""
    return encoded(Image.new("RGB", (width, height), (60, 120, 40)), "PNG", compress_level=1)


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces its size and holds nothing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def shared(path: str) -> Path:
    """A real photograph, where the shared data lie beside the project."""
    return SHARED / path
