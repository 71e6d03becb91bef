"""Depths as the contract tells them: the data URL of a grey PNG of 16 bits; and such a picture in colours."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGEST = 65535  # of 16 bits
# Five colours of Smith's and van der Walt's "inferno" (CC0, https://bids.github.io/colormap/), whose brightness rises
# with the depth: dark for the minimum.
COLORS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))


def encode_depth(pixels: NDArray[np.uint16]) -> str:
    """Depths (height, width), 0 for the minimum and 65535 for the maximum -> their picture."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getbuffer()).decode("ascii")


def colored(url: str) -> Image.Image:
    """What `encode_depth` wrote -> RGB."""
    data = base64.b64decode(url.partition(",")[2])
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        depth = np.asarray(picture)
    shown = Image.fromarray((depth >> 8).astype(np.uint8), "P")
    shown.putpalette(np.array(palette(), np.uint8).tobytes())
    return shown.convert("RGB")


def palette() -> list[tuple[int, int, int]]:
    """256 colours, from that of the minimum to that of the maximum."""
    places = np.linspace(0, 255, len(COLORS))
    parts = [np.interp(np.arange(256), places, part) for part in zip(*COLORS, strict=True)]
    return [(int(red), int(green), int(blue)) for red, green, blue in np.rint(parts).T]
