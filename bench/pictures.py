"""The pictures that are sent: leaf photographs and large drone photographs where they are at hand, drawn ones else."""

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from PIL import Image, ImageOps

from inference.measuring import synthetic_picture
from inference.spec import Size
from settings import ROOT

SAMPLES = ROOT / "samples"
SHARED = ROOT.parent / "shared" / "data"
LEAVES = SHARED / "strawberry" / "leaf"
LARGE = SHARED / "large"
LEAVES_PER_CLASS = 8
SYNTHETIC = (3000, 2250)  # pixels; the photographs are not much larger, and noise takes memory
JPEG_QUALITY = 90


def leaf_jpegs(side: int) -> list[bytes]:
    """Our drawn leaves, and photographs where they are at hand, as JPEGs of `side` pixels."""
    found = [sorted(SAMPLES.glob("*.jpg"))]
    found += [sorted(folder.glob("*.*"))[:LEAVES_PER_CLASS] for folder in sorted(LEAVES.glob("*"))]
    return [_fitted(path, (side, side)) for paths in found for path in paths]


@cache
def photographs(size: Size, most: int = 3) -> list[bytes]:
    """The large photographs, cut and scaled to `size`, as JPEGs; one synthetic picture where there are none."""
    found = sorted(LARGE.glob("DJI_*.jpg"))[:most]
    return [_fitted(path, size) for path in found] or [_jpeg(ImageOps.fit(synthetic_picture(SYNTHETIC), size))]


def photograph(size: Size) -> bytes:
    """One of them."""
    return photographs(size, 1)[0]


def padded(jpeg: bytes, size_bytes: int) -> bytes:
    """As large a file as wanted, as quick to decode as before: what follows a JPEG's end is not read."""
    return jpeg + bytes(size_bytes - len(jpeg))


def frame(megapixels: float) -> Size:
    """Width and height of a picture of 4:3."""
    height = round((megapixels * 1e6 / (4 / 3)) ** 0.5)
    return round(height * 4 / 3), height


def described() -> Iterator[str]:
    """Which of them are photographs here."""
    yield "leaf photographs" if LEAVES.is_dir() else "drawn leaves"
    yield "drone photographs, cut and scaled" if LARGE.is_dir() else "one synthetic picture of each size"


def _fitted(path: Path, size: Size) -> bytes:
    with Image.open(path) as picture:
        return _jpeg(ImageOps.fit(picture.convert("RGB"), size))


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
