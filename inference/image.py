"""Image bytes -> facts from the header, then pixels with the least work. Pillow's decoders are imported only here."""

import io
import math
import struct
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from inference.errors import InferenceError, TooManyPixels, UnsupportedImage
from inference.jpeg import JPEG_FORMATS, scans

# What cameras, phones, drones, scanners and the web write; decoders that nobody needs stay shut. Pillow's JPEG plugin
# opens MPO too.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_SIZE_AT = 16  # bytes: the signature, then length and name of the first chunk
# Pillow reads millions of rationals in one tag; an orientation needs two bytes, a TIFF's colour profile some kB.
MAX_EXIF_BYTES = 1 << 18
TIFF_HEADER_BYTES = 1 << 20
TIFF_STARTS = (b"II", b"MM")
HEADER_READS = 2_000  # a photograph of any served format needs at most 40
ORIENTATION_TAG = 0x0112
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}
ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
RIGHT_COMES_LEFT, BOTTOM_COMES_UP = (2, 3, 6, 7), (3, 4, 7, 8)  # those whose left or top is a stored far side
# libjpeg's scaled decoding keeps at least this many times the wanted size, and the resize does the rest: nearly all
# values are then within 1 of 255 of those from the whole decoded image, which with 2.0 they are not.
DRAFT_MARGIN = 3.0
# Bytes a pixel in Pillow's memory; RGB has a fourth one that nobody uses.
RGB_BYTES = 4
STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
WORKING_BYTES = dict.fromkeys(("I;16", "I;16B", "I"), 8)  # two copies in 32 bits
JPEG_COMPONENTS = {"L": 1, "CMYK": 4}
DECODER_BYTES = {"WEBP": 12, "TIFF": 4}  # three canvases; a strip that is the whole image, or its turned copy

# glibc takes blocks of more than 32 MB fresh from the kernel. Smaller ones it may reuse, and clear while no other
# thread can run: with Pillow's own blocks of 16 MB a 36-megapixel image was called off up to 0.8 s late.
BLOCK_BYTES = 1 << 26

# The limit on pixels is ours, checked from the header; Pillow's own only warns at 89 megapixels.
Image.MAX_IMAGE_PIXELS = None
# What Pillow warns of in odd files is the sender's matter, not the operator's.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
Image.core.set_block_size(BLOCK_BYTES)
Image.init()  # registers every plugin now; `open(formats=...)` knows only registered ones


def _nothing() -> None:
    """What is called where nobody wants to end the decoding."""


@dataclass(frozen=True)
class ImageInfo:
    """What the header tells. Width and height are in pixels, as a person sees the image (EXIF orientation applied).

    `mode` is Pillow's name for what it stores of a pixel. `turned` says that the orientation turns or mirrors the
    image in any way, `rotated` that it swaps width and height too.
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

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6

    def to_dict(self) -> dict:
        return {"width": self.width, "height": self.height, "format": self.format}


@dataclass(frozen=True)
class Pixels:
    """A decoded upright RGB image, at `scale` times its full size: 1, or 1/2, 1/4, 1/8 of a JPEG.

    A JPEG's last row and column may stand for less than a whole pixel of that scale, so its size does not tell the
    scale; where it was turned, they are the first: the image begins at `origin`, in fractions of a pixel.
    """

    image: Image.Image
    scale: float = 1.0
    origin: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class OpenedImage:
    """An image whose header was read and whose pixels were not. It can be decoded once, in any thread."""

    data: bytes
    info: ImageInfo
    unread: Image.Image
    file: "_BoundedReads"


def open_image(data: bytes, max_pixels: int) -> OpenedImage:
    """Read an image's header; no pixel is decoded.

    Raises:
        UnsupportedImage: not an image, or of a format that is not served.
        TooManyPixels: more than `max_pixels` by its header.
    """
    image, file = _open(data, max_pixels)
    return OpenedImage(data, _info(image, data, max_pixels), image, file)


def decode(opened: OpenedImage, wanted: tuple[int, int] | None, check: Callable[[], None] = _nothing) -> Pixels:
    """Decode to an upright RGB image, at a reduced scale where the format can and `wanted` allows.

    Args:
        opened: the image; it is used up.
        wanted: (width, height) in pixels that the whole image will be shrunk to, or None for full size.
        check: is called between two pieces of the file, and may end the decoding by raising an InferenceError.

    Raises:
        UnsupportedImage: truncated or damaged. What `check` raises.
    """
    image, info = opened.unread, opened.info
    opened.file.check = check
    try:
        denominator = jpeg_scale(info, wanted)
        if denominator > 1:
            image.draft("RGB", (image.width // denominator, image.height // denominator))
        orientation = _orientation(image)
        image.load()  # here, where its errors are told, not when a pixel is first asked for
        return _pixels(_turned(_to_rgb(image), orientation), info, orientation, 1 / denominator)
    except (MemoryError, InferenceError):
        raise  # the machine's trouble, not the image's; or told already
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, …
        raise UnsupportedImage(f"the {info.format} image cannot be decoded: {error or type(error).__name__}") from error


def _pixels(image: Image.Image, info: ImageInfo, orientation: int, scale: float) -> Pixels:
    left = image.width - info.width * scale if orientation in RIGHT_COMES_LEFT else 0.0
    top = image.height - info.height * scale if orientation in BOTTOM_COMES_UP else 0.0
    return Pixels(image, scale, (left, top))


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


class _BoundedReads(io.BytesIO):
    """A file that stops Pillow, which walks a header's pieces in Python: millions of empty ones would take it long."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads_left = HEADER_READS
        self.bytes_left = TIFF_HEADER_BYTES if data.startswith(TIFF_STARTS) else sys.maxsize
        self.check: Callable[[], None] = _nothing

    def read(self, size: int | None = -1, /) -> bytes:
        self.check()
        found = super().read(size)
        self.reads_left -= 1
        self.bytes_left -= len(found)
        if self.reads_left < 0 or self.bytes_left < 0:
            raise OSError("it has too many pieces, or tags that are too long")
        return found

    def unbounded(self) -> None:
        """Allow any read from now on: the header was read, and what follows are pixels."""
        self.reads_left = self.bytes_left = sys.maxsize


def _open(data: bytes, max_pixels: int) -> tuple[Image.Image, _BoundedReads]:
    _check_png_header(data, max_pixels)
    file = _BoundedReads(data)
    try:
        image = Image.open(file, formats=FORMATS)
        file.unbounded()
        return image, file
    except UnidentifiedImageError as error:
        raise UnsupportedImage(f"not an image of a served format ({', '.join(FORMATS)})") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged header: each plugin raises its own kind
        raise UnsupportedImage(f"the image's header cannot be read: {error}") from error


def _check_png_header(data: bytes, max_pixels: int) -> None:
    """Pillow reads a PNG up to its first pixels; one that ends before is refused for its announced size first."""
    if data.startswith(PNG_SIGNATURE) and len(data) >= PNG_SIZE_AT + 8:
        width, height = struct.unpack_from(">II", data, PNG_SIZE_AT)
        _check_size(width, height, max_pixels)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooManyPixels(f"{width}x{height} is {width * height / 1e6:.1f} megapixels, "
                            f"at most {max_pixels / 1e6:g} are allowed (PUNNET_MAX_MEGAPIXELS)")


def _info(image: Image.Image, data: bytes, max_pixels: int) -> ImageInfo:
    width, height = image.size
    _check_size(width, height, max_pixels)
    orientation = _orientation(image)
    rotated = orientation in ROTATED
    if rotated:
        width, height = height, width
    return ImageInfo(width, height, str(image.format), bool(image.info.get("progressive")), rotated,
                     scans(data) if image.format in JPEG_FORMATS else 1, image.mode, orientation in TURNS, len(data))


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none, or where the decoder applies it (TIFF)."""
    block = image.info.get("exif", b"")
    if image.format == "TIFF" or not block or len(block) > MAX_EXIF_BYTES:
        return 1
    exif = Image.Exif()
    try:
        exif.load(block)
        return int(exif.get(ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block does not make a readable image unreadable
        return 1


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image upright. ImageOps.exif_transpose would follow XMP too, as neither browsers nor `ImageInfo` do."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnsupportedImage("pixels in floating point are not served; save it with 8 or 16 bits")
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit grey: convert() would clip everything above 255 to white.
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image if image.mode == "RGB" else image.convert("RGB")
