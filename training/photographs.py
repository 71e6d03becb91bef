"""Where the photographs are and how one is opened. Needs numpy and Pillow only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]

PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_DATA = PROJECT.parent / "shared" / "data"


def open_picture(path: Path) -> Image.Image:
    """The picture upright and in RGB, at full size."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")
