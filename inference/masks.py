"""Masks as the contract tells them: base64 of a PNG of 0 and 255."""

import base64
import io
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.geometry import Box


def encode_mask(mask: NDArray) -> str:
    """A mask (height, width), bool or a number that is 0 outside -> base64 of a grey PNG, 0 outside and 255 inside."""
    buffer = io.BytesIO()
    pixels = (mask != 0).view(np.uint8) * np.uint8(255)
    # Masks are long runs: run lengths alone are as fast as level 1 and smaller than level 6.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def mask_image(text: str) -> Image.Image:
    """What `encode_mask` wrote, as the grey image that it is."""
    image = Image.open(io.BytesIO(base64.b64decode(text)), formats=("PNG",))
    image.load()
    return image


def stretch(values: NDArray[np.float32], part: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """A part of values (h, w), a box of it in fractions of its cells, resized (bilinear) to `size` width, height."""
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR, box=part))
