"""Pixels of 32 bits are shown by the range that they really have."""

from typing import Literal

import numpy as np
import pytest

from inference.errors import UnsupportedImage
from inference.image import decode, open_image
from tests.unit.images import tiff

RAMP = np.linspace(0, 1, 300 * 200).reshape(200, 300)


def grey(data: bytes) -> np.ndarray:
    return np.asarray(decode(open_image(data, 10**6), None).image).astype(int)[:, :, 0]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "deflate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("values", [
    (RAMP * 2**30 + 1000).astype(np.int32), (RAMP * 60_000 - 30_000).astype(np.int32),
    (RAMP * 300).astype(np.float32), (RAMP * 1e-3 - 5).astype(np.float32),
], ids=["int32", "signed", "heights", "small"])
def test_wide_pixels_are_scaled_by_their_range(values: np.ndarray, order: Literal["<", ">"], packed: bool) -> None:
    assert np.abs(grey(tiff(values, order, packed)) - RAMP * 255).max() <= 1.5


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "deflate"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_unsigned_numbers_of_32_bits_keep_their_order(order: Literal["<", ">"], packed: bool) -> None:
    assert np.abs(grey(tiff((RAMP * (2**32 - 1)).astype(np.uint32), order, packed)) - RAMP * 255).max() <= 1.5


def test_what_is_no_number_is_left_out() -> None:
    values = RAMP.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    found = grey(tiff(values))
    assert found[0, :3].tolist() == [0, 255, 0]
    assert np.abs(found[1:] - RAMP[1:] * 255).max() <= 1.5


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan])
def test_an_image_of_one_value_is_black(value: float) -> None:
    assert grey(tiff(np.full((4, 5), value, np.float32))).max() == 0


def test_numbers_of_64_bits_are_refused() -> None:
    with pytest.raises(UnsupportedImage, match="TIFF"):
        grey(tiff(RAMP))
