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
EXTRA_BYTES = 8  # a pixel: masks, opacities, the file


def extra_bytes(size: tuple[int, int]) -> int:
    """What drawing on an image of this size takes beside the image, and its file."""
    return EXTRA_BYTES * size[0] * size[1]


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
