"""Opens an image file with the decoder for its format. Pillow's decoders are used only here and in `image.py`."""

import logging
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from PIL import AvifImagePlugin, Image, TiffImagePlugin, UnidentifiedImageError

from inference.bounded_reads import BoundedReads
from inference.errors import InferenceError, UnsupportedImage
from inference.formats import heif, png, tiff, webp
from inference.formats.header import Header
from inference.formats.jpeg import END_OF_IMAGE, JPEG_START, has_end, scans
from inference.formats.names import name_of
from inference.formats.orientation import of_xmp, orientation
from inference.library_texts import one_line
from inference.tiff_pixels import put_right

# What cameras, phones, drones, scanners and the web write; decoders that nobody needs stay shut. Pillow's JPEG plugin
# opens MPO too.
FORMATS = ("JPEG", "PNG", "WebP", "AVIF", "HEIC", "BMP", "GIF", "TIFF")
STARTS = ((JPEG_START, "JPEG"), (b"GIF8", "GIF"), (b"BM", "BMP"))
Check = Callable[[], None]
# Decodes at 1, 1/2, 1/4 or 1/8, which only a JPEG can; gives the image, and the orientation that it still has. It
# gives the canvas itself, if there is one, where it could decode into its upper left corner: an upright RGB JPEG.
Load = Callable[[int, Check, Image.Image | None], tuple[Image.Image, int]]
RLE = (1, 2)  # Windows bitmaps' compressions
ORIENTATION, STRIP_OFFSETS, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS = 0x0112, 273, 322, 323, 324  # tags of TIFF
SMALL_TILE = 1 << 20  # pixels, which one tile may have however small the image is
PIECE_BYTES = 1 << 16
SPARE_BYTES, RLE_SPARE_BYTES = 1 << 20, 1 << 12
BAND = 256  # rows
# No coded pixels go on like this. 00 comes first: behind FF, a file's last byte, it is no marker.
ANY_PIXELS = bytes(number * 197 % 255 for number in range(256))

# glibc takes blocks of more than 32 MB fresh from the kernel. Smaller ones it may reuse, and clear while no other
# thread can run: with Pillow's own blocks of 16 MB a 36-megapixel image was called off up to 0.8 s late.
BLOCK_BYTES = 1 << 26

# The limit on pixels is ours, checked from the header; Pillow's own only warns at 89 megapixels.
Image.MAX_IMAGE_PIXELS = None
# What Pillow tells of odd files is the sender's matter, not the operator's.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
Image.core.set_block_size(BLOCK_BYTES)
# These kinds of grey Pillow knows in the other order of bytes alone.
TiffImagePlugin.OPEN_INFO |= {(b"MM", 1, (1,), 1, (32,), ()): ("I", "I;32BS"),
                              (b"MM", 0, (1,), 1, (16,), ()): ("I;16B", "I;16B")}
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a predictor has one core
Image.init()  # registers every plugin now; `open(formats=...)` knows only registered ones


def open_file(data: bytes) -> tuple[Header, Load]:
    """The header, and what decodes the pixels, once.

    Raises:
        UnsupportedImage: not an image, of a format that is not served, or damaged.
    """
    for start, name in STARTS:
        if data.startswith(start):
            return _by_pillow(data, name)
    if data.startswith(tiff.STARTS):
        return _by_pillow(tiff.pixels_alone(data), "TIFF")
    if data.startswith(png.SIGNATURE):
        return (header := png.read(data)), partial(_load_later, lambda: png.pixels_alone(data), header)
    if webp.is_webp(data):
        return (header := webp.read(data)), partial(_load_later, lambda: data, header)
    if heif.is_heif(data):
        header = heif.read(data)
        return header, partial(_load_later if header.format == "AVIF" else _load_heic, lambda: data, header)
    raise UnsupportedImage(f"this is {name_of(data)}; served are {', '.join(FORMATS)}")


# Formats whose headers Pillow reads


def _by_pillow(data: bytes, name: str) -> tuple[Header, Load]:
    file = BoundedReads(data)
    try:
        image = Image.open(file, formats=(name,))
        header = _HEADERS[name](image, data)
    except (MemoryError, InferenceError):
        raise
    except (UnidentifiedImageError, KeyError) as error:  # KeyError: of a way of compression
        raise UnsupportedImage(tiff.refusal(data) if name == "TIFF" else
                               f"the {name}'s header is damaged, or tells of a kind that is not decoded") from error
    except Exception as error:  # a damaged header: each plugin raises its own kind
        raise UnsupportedImage(f"the {name}'s header cannot be read: {one_line(error)}") from error
    if name == "JPEG":
        return header, partial(_load_jpeg, image, file, header, data)
    return header, partial(_load, image, file, header)


def _jpeg(image: Any, data: bytes) -> Header:
    turn = orientation(image.info.get("exif", b""), image.info.get("xmp", b""))
    return Header(image.format, image.width, image.height, image.mode, turn,
                  progressive=bool(image.info.get("progressive")), scans=scans(data))


def _tiff(image: Any, data: bytes) -> Header:
    """Pillow tells the size as it is after the turn of the tag, and turns also by XMP."""
    tags, told = image.tag_v2, image.tag_v2.get(ORIENTATION)
    (width, height), pixels = image.size, image.width * image.height
    if told in (5, 6, 7, 8):
        width, height = height, width
    if int(tags.get(TILE_WIDTH, 1)) * int(tags.get(TILE_HEIGHT, 1)) > max(4 * pixels, SMALL_TILE):
        raise UnsupportedImage("the TIFF's tiles are much larger than its image")
    put_right(image)
    xmp = image.info.get("xmp")
    turn = (of_xmp(xmp) if isinstance(xmp, bytes) else 0) if told is None else told
    coding = image.info["compression"].removeprefix("tiff_")
    offsets = tags.get(STRIP_OFFSETS) or tags.get(TILE_OFFSETS) or ()
    return Header("TIFF", width, height, image.mode, turn if turn in range(1, 9) else 1,
                  "" if coding == "raw" else coding, max(len(tags), len(offsets)))


def _bmp(image: Any, data: bytes) -> Header:
    coding = "RLE" if image.info["compression"] in RLE else ""
    return Header("BMP", image.width, image.height, image.mode, coding=coding)


def _gif(image: Any, data: bytes) -> Header:
    return Header("GIF", image.width, image.height, image.mode)


_HEADERS: dict[str, Callable[[Any, bytes], Header]] = {"JPEG": _jpeg, "TIFF": _tiff, "BMP": _bmp, "GIF": _gif}


# Pixels


def _load(image: Any, file: BoundedReads, header: Header, scale: int, check: Check,
          canvas: Image.Image | None) -> tuple[Image.Image, int]:
    """Pillow has turned a TIFF when it is decoded; no BMP and no GIF tells an orientation."""
    file.allow_pixels(_most_bytes(header, file.size_bytes), check)
    image.load()  # here, where its errors are told, not when a pixel is first asked for
    return image, 1


def _most_bytes(header: Header, size_bytes: int) -> int:
    """How much of a file a decoder may read. Run-length coding needs two bytes a pixel, and four to go elsewhere."""
    if header.coding == "RLE":
        return 4 * header.width * header.height + 4 * header.height + RLE_SPARE_BYTES
    return 2 * size_bytes + PIECE_BYTES * header.pieces + SPARE_BYTES


def _load_jpeg(image: Any, file: BoundedReads, header: Header, data: bytes, scale: int, check: Check,
               canvas: Image.Image | None) -> tuple[Image.Image, int]:
    if canvas is not None and has_end(data) and (header.mode, header.orientation, scale) == ("RGB", 1, 1):
        image.im = canvas.im
        _drafted(image, file, scale, check)
        return canvas, header.orientation
    if has_end(data):
        return _drafted(image, file, scale, check), header.orientation
    return _load_unended(image, file, data, scale, check), header.orientation


def _drafted(image: Any, file: BoundedReads, scale: int, check: Check) -> Image.Image:
    file.allow_pixels(_most_bytes(Header("JPEG", *image.size), file.size_bytes), check)
    if scale > 1:
        image.draft("RGB", (image.width // scale, image.height // scale))
    image.load()
    return image


def _load_unended(image: Any, file: BoundedReads, data: bytes, scale: int, check: Check) -> Image.Image:
    """A JPEG without its end marker. libjpeg makes up pixels that are missing, without a word: they are missing where
    the image becomes another one with any other bytes behind the last."""
    file.behind = ANY_PIXELS + END_OF_IMAGE
    continued = list(_checksums(_drafted(image, file, scale, check)))
    again = BoundedReads(data)
    again.behind = END_OF_IMAGE
    ended = _drafted(Image.open(again, formats=("JPEG",)), again, scale, check)
    if continued != list(_checksums(ended)):
        raise UnsupportedImage("the JPEG is truncated")
    return ended


def _checksums(image: Image.Image) -> Iterator[int]:
    for top in range(0, image.height, BAND):
        yield zlib.crc32(image.crop((0, top, image.width, min(top + BAND, image.height))).tobytes())


def _load_later(file_of: Callable[[], bytes], header: Header, scale: int, check: Check,
                canvas: Image.Image | None) -> tuple[Image.Image, int]:
    """A format whose header Pillow did not read."""
    file = BoundedReads(file_of())
    file.allow_pixels(_most_bytes(header, file.size_bytes), check)
    try:
        image = Image.open(file, formats=(header.format,))
    except UnidentifiedImageError as error:
        raise UnsupportedImage(f"the {header.format} is truncated or damaged behind its header") from error
    if image.size != (header.width, header.height):
        raise UnsupportedImage(f"the {header.format} has two sizes in its header")
    image.load()
    return image, header.orientation


def _load_heic(file_of: Callable[[], bytes], header: Header, scale: int, check: Check,
               canvas: Image.Image | None) -> tuple[Image.Image, int]:
    from inference.heic_pixels import decoded  # a native library that web processes, which read headers, do without

    return decoded(file_of(), header), 1
