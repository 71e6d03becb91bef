"""The images that are sent: leaves and drone photographs where they are at hand, and else the samples, enlarged."""

import io
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from PIL import Image, ImageOps

from settings import ROOT

Size = tuple[int, int]
SAMPLES = ROOT / "samples"
SHARED = ROOT.parent / "shared" / "data"
LEAVES = SHARED / "strawberry" / "leaf"
LARGE = SHARED / "large"
LEAVES_PER_CLASS = 8
SMALL_SIDE = 224  # pixels of a quick image
JPEG_QUALITY = 90


@cache
def leaves() -> list[bytes]:
    """The samples, and photographs where they are at hand, as small JPEGs."""
    found = [sorted(SAMPLES.glob("*.jpg"))]
    found += [sorted(folder.glob("*.*"))[:LEAVES_PER_CLASS] for folder in sorted(LEAVES.glob("*"))]
    return [_fitted(path, (SMALL_SIDE, SMALL_SIDE)) for paths in found for path in paths]


@cache
def photographs(size: Size, most: int = 3) -> list[bytes]:
    """Large photographs, cut and scaled to `size`, as JPEGs."""
    found = sorted(LARGE.glob("DJI_*.jpg")) or sorted(SAMPLES.glob("*.jpg"))
    return [_fitted(path, size) for path in found[:most]]


def photograph(size: Size) -> bytes:
    """The first of them."""
    return photographs(size, 1)[0]


def apart(image: bytes) -> bytes:
    """The same image in other bytes, so that a job on it is not joined with others but computed itself."""
    return image + uuid.uuid4().bytes


def frame(megapixels: float) -> Size:
    """Width and height of an image of 4:3."""
    height = round((megapixels * 1e6 / (4 / 3)) ** 0.5)
    return round(height * 4 / 3), height


def described() -> Iterator[str]:
    """Which of them are photographs here."""
    yield "leaf photographs" if LEAVES.is_dir() else "drawn leaves"
    yield "drone photographs, cut and scaled" if LARGE.is_dir() else "drawn leaves, enlarged"


def _fitted(path: Path, size: Size) -> bytes:
    with Image.open(path) as image:
        buffer = io.BytesIO()
        ImageOps.fit(image.convert("RGB"), size).save(buffer, "JPEG", quality=JPEG_QUALITY)
        return buffer.getvalue()
