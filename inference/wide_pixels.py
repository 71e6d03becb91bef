"""Pixels of 32 bits, whole numbers or floating point, as scientific cameras and maps of heights have them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BAND_PIXELS = 1 << 20
Values = NDArray[np.float64]


def to_grey(image: Image.Image, form: str, inverted: bool = False) -> Image.Image:
    """8 bits: the least value of the image is black, the greatest white, or `inverted`; what is no number is black.
    `form` is numpy's name for what the image's 4 bytes a pixel are."""
    low, high = _range(image, form)[::-1 if inverted else 1]
    grey = Image.new("L", image.size)
    for top, values in _bands(image, form):
        shares = np.nan_to_num((values - low) / ((high - low) or 1.0), nan=0.0, posinf=1.0, neginf=0.0)
        grey.paste(Image.fromarray(np.rint(shares * 255).astype(np.uint8)), (0, top))
    return grey


def _range(image: Image.Image, form: str) -> tuple[float, float]:
    found = [(values.min(), values.max()) for _, band in _bands(image, form)
             if (values := band[np.isfinite(band)]).size]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else (0.0, 0.0)


def _bands(image: Image.Image, form: str) -> Iterator[tuple[int, Values]]:
    """Some rows at a time, each with where it begins: in 64 bits all of them would take much memory."""
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        values = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        with np.errstate(invalid="ignore"):  # what is no number stays none
            yield top, values.view(form).astype(np.float64)
