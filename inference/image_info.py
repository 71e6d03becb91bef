"""What is known of an image before it is decoded, and the memory that its decoding takes. Pure."""

import math
from dataclasses import dataclass

from inference.formats.header import Header
from inference.formats.jpeg import JPEG_FORMATS

ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
# libjpeg's scaled decoding keeps at least this many times the wanted size, and the resize does the rest: nearly all
# values are then within 1 of 255 of those from the whole decoded image, which with 2.0 they are not.
DRAFT_MARGIN = 3.0
# Bytes a pixel in Pillow's memory; RGB has a fourth one that nobody uses.
RGB_BYTES = 4
STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
WORKING_BYTES = {"I;16": 8, "I;16B": 8, "I": 5, "F": 5}  # two copies in 32 bits; the grey one and its bands
JPEG_COMPONENTS = {"L": 1, "CMYK": 4}
# Three canvases; a strip that is the whole image, or its turned copy; planes, and the values that are made of them.
DECODER_BYTES = {"WEBP": 12, "TIFF": 4, "AVIF": 6, "HEIC": 5}


@dataclass(frozen=True)
class ImageInfo:
    """What the header tells. Width and height are in pixels, as a person sees the image (its orientation applied).

    `mode` is Pillow's name for what it stores of a pixel. `turned` says that the orientation turns or mirrors the
    image in any way, `rotated` that it swaps width and height too. `coding` and `pieces` are a `Header`'s.
    """

    width: int
    height: int
    format: str
    progressive: bool = False
    rotated: bool = False
    scans: int = 1
    mode: str = "RGB"
    turned: bool = False
    size_bytes: int = 0
    coding: str = ""
    pieces: int = 1

    @classmethod
    def of(cls, header: Header, size_bytes: int) -> "ImageInfo":
        """The image as it is told by its header, of a file of so many bytes."""
        rotated = header.orientation in ROTATED
        width, height = (header.height, header.width) if rotated else (header.width, header.height)
        return cls(width, height, header.format, header.progressive, rotated, header.scans, header.mode,
                   header.orientation != 1, size_bytes, header.coding, header.pieces)

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6

    def to_dict(self) -> dict:
        return {"width": self.width, "height": self.height, "format": self.format}


def jpeg_scale(info: ImageInfo, wanted: tuple[int, int] | None) -> int:
    """The denominator (1, 2, 4, 8) at which libjpeg will decode for `wanted`; 1 for other formats."""
    if wanted is None or info.format not in JPEG_FORMATS:
        return 1
    width, height = (math.ceil(side * DRAFT_MARGIN) for side in wanted)
    fitting = min(info.width / width, info.height / height)
    return next((scale for scale in (8, 4, 2) if fitting >= scale), 1)


def decoded_bytes(info: ImageInfo, wanted: tuple[int, int] | None) -> int:
    """What decoding takes in memory at its peak, beside the file; tests/unit/test_decoded_bytes.py measures it."""
    stored, scaled = STORED_BYTES.get(info.mode, RGB_BYTES), 1 / jpeg_scale(info, wanted) ** 2
    copies = max(RGB_BYTES * ((info.mode != "RGB") + info.turned), WORKING_BYTES.get(info.mode, 0))
    return round(info.width * info.height * max(stored * scaled + _decoder_bytes(info), (stored + copies) * scaled))


def _decoder_bytes(info: ImageInfo) -> int:
    """What a decoder needs for each pixel of the whole image beside it. It keeps a JPEG of several scans unscaled, with
    16 bits a value (less where colour has half the resolution)."""
    if info.format in JPEG_FORMATS and (info.progressive or info.scans > 1):
        return 2 * JPEG_COMPONENTS.get(info.mode, 3)
    return DECODER_BYTES.get(info.format, 0)
