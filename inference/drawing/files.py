"""Drawings as files: a PNG, a JPEG or a WebP that has nothing in it but pixels."""

import io
from collections.abc import Callable
from typing import Any, Literal

from PIL import Image

from inference.bounded_reads import nothing
from inference.errors import NotDrawable

Kind = Literal["image/png", "image/jpeg", "image/webp"]
Check = Callable[[], None]
SAVE_OPTIONS: dict[Kind, dict] = {"image/png": {"format": "PNG", "compress_level": 1},
                                  "image/jpeg": {"format": "JPEG", "quality": 90},
                                  "image/webp": {"format": "WEBP", "quality": 90, "method": 0}}
EXTRA_BYTES, COLORS = 8, 3  # a pixel: masks, opacities, the file; the drawing's own colours


def extra_bytes(image: tuple[int, int], drawing: tuple[int, int]) -> int:
    """What drawing on an image takes beside the image, in bytes: an image of the drawing's size, and its file."""
    enlarged = 0 if drawing == image else COLORS
    return (EXTRA_BYTES + enlarged) * drawing[0] * drawing[1]


def encode(image: Image.Image, kind: Kind, check: Check = nothing) -> bytes:
    """An image as a file of the media type `kind`; `check` is called at each piece of the file.

    Raises:
        NotDrawable: it is larger than that format can hold. What `check` raises.
    """
    buffer = _CheckedFile(check)
    try:
        image.save(buffer, **SAVE_OPTIONS[kind])
    except (ValueError, OSError) as error:
        raise NotDrawable(f"{kind} cannot hold {image.width}x{image.height} pixels: ask for image/png") from error
    return buffer.getvalue()


class _CheckedFile(io.BytesIO):
    """Encoders write pieces of at least 64 KiB; WebP's writes one."""

    def __init__(self, check: Check) -> None:
        super().__init__()
        self._check = check

    def write(self, data: Any, /) -> int:
        self._check()
        return super().write(data)
