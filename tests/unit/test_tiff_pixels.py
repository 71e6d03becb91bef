"""A TIFF's pixels are read as they are meant, or refused with the reason."""

from typing import Literal

import numpy as np
import pytest

from inference.errors import UnsupportedImage
from inference.image import decode, open_image
from tests.unit.images import planar_tiff, tiff

Order = Literal["<", ">"]
DOWN, ACROSS = np.mgrid[0:70, 0:101] / 69
COLORS = np.stack([ACROSS / ACROSS.max(), DOWN, ACROSS * DOWN / ACROSS.max(), 1 - DOWN / 2], axis=2)
GREY = COLORS[:, :, 0]
SHORT, INVERTED, SEPARATE = 3, (3, 0), (3, 2)


def rgb(data: bytes) -> np.ndarray:
    return np.asarray(decode(open_image(data, 10**6), None).image).astype(int)


def is_like(data: bytes, shares: np.ndarray) -> bool:
    return bool(np.abs(rgb(data) - (shares * 255).reshape(*GREY.shape, -1)).max() <= 1.5)


def numbers(shares: np.ndarray, form: str) -> np.ndarray:
    """The shares, from 0 to 1, as numbers of this type."""
    return (shares * (300 if form == "f4" else np.iinfo(form).max)).astype(form)


@pytest.mark.parametrize("count", [3, 4], ids=["RGB", "RGBA"])
@pytest.mark.parametrize("form", ["u1", "u2"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_are_put_together(order: Order, form: str, count: int) -> None:
    assert is_like(planar_tiff(numbers(COLORS[:, :, :count], form), order), COLORS[:, :, :3])


def test_planes_that_are_not_decoded_are_refused() -> None:
    with pytest.raises(UnsupportedImage, match="separate planes of 16 bits without compression, in CMYK"):
        rgb(planar_tiff(numbers(COLORS, "u2"), photometric=5))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "deflate"])
@pytest.mark.parametrize("form", ["u1", "u2", "i2", "u4", "i4", "f4"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_lone_plane_is_an_image_as_any_other(order: Order, form: str, packed: bool) -> None:
    assert is_like(tiff(numbers(GREY, form), order, packed, t284=SEPARATE), GREY)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "deflate"])
@pytest.mark.parametrize("form", ["u1", "u2", "f4"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_zero_is_white_where_the_file_says_so(order: Order, form: str, packed: bool) -> None:
    assert is_like(tiff(numbers(GREY, form), order, packed, t262=INVERTED), 1 - GREY)


def test_12_bits_are_scaled_to_8() -> None:
    high, low = np.divmod(numbers(GREY[:, :100], "u2") >> 4, 16)
    packed = np.stack([high[:, ::2], low[:, ::2] << 4 | high[:, 1::2] >> 4, 0 * high[:, ::2]], axis=2)
    packed[:, :, 2] = (high[:, 1::2] & 15) << 4 | low[:, 1::2]
    data = tiff(packed.reshape(70, 150).astype("u1"), t256=(SHORT, 100), t258=(SHORT, 12))
    assert np.abs(rgb(data)[:, :, 0] - GREY[:, :100] * 255).max() <= 1.5


def test_signed_numbers_of_8_bits_are_refused() -> None:
    with pytest.raises(UnsupportedImage, match="signed numbers of 8 bits"):
        rgb(tiff(numbers(GREY, "i1")))


@pytest.mark.parametrize(("data", "told"), [
    (planar_tiff(numbers(COLORS[:, :, :3], "f4"), ">"), "3 values a pixel of 32 bits, unsigned, RGB, uncompressed, "),
    (tiff(GREY), "1 value a pixel of 64 bits, floating point, grey, uncompressed, little-endian"),
    (tiff(numbers(GREY, "u1"), t259=(SHORT, 34712)), "JPEG 2000"),
    (tiff(numbers(GREY, "u1"), t259=(SHORT, 4711), t262=(SHORT, 99)), "colours of kind 99, compression 4711"),
    (tiff(numbers(GREY, "u1"), t258=(4, 7), t277=(SHORT, 0)), "0 values a pixel of 7 bits"),
    (planar_tiff(numbers(COLORS[:, :, :3], "u1")).replace(b"\2\1\3\0\3\0\0\0", b"\2\1\3\0\3\0\0\x7f"), "unknown bits"),
])
def test_a_kind_that_is_not_decoded_is_named_with_those_that_are(data: bytes, told: str) -> None:
    with pytest.raises(UnsupportedImage, match=f"{told}.*; taken are grey of 1, 2, 4"):
        rgb(data)
