"""Encoded images for tests."""

import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

from inference.calibration import synthetic_image
from inference.masks import mask_image

ORIENTATION = 0x0112
Size = tuple[int, int]


def encode(image: Image.Image, file_format: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    if file_format == "HEIC":
        pillow_heif.encode(image.mode, image.size, image.tobytes(), buffer, **{"quality": 90, **options})
    else:
        image.save(buffer, file_format, **options)
    return buffer.getvalue()


def photo(size: Size = (64, 48), file_format: str = "JPEG", **options: Any) -> bytes:
    """Noise at several scales, as a photograph has it."""
    return encode(synthetic_image(size), file_format, **options)


def plain(size: Size = (64, 48)) -> Image.Image:
    """All grey."""
    return Image.new("RGB", size, (128, 128, 128))


def quadrants(size: Size = (64, 48)) -> Image.Image:
    """Red, green, blue, white: upper left, upper right, lower left, lower right."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    middle_x, middle_y = size[0] // 2, size[1] // 2
    pixels[:middle_y, :middle_x, 0] = pixels[:middle_y, middle_x:, 1] = pixels[middle_y:, :middle_x, 2] = 255
    pixels[middle_y:, middle_x:] = 255
    return Image.fromarray(pixels)


# What a camera that was held so stores: the upright image, turned by this.
STORED = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_270}


def oriented(upright: Image.Image, orientation: int, file_format: str, **options: object) -> bytes:
    """Stored as a camera held that way does, with the EXIF tag that tells it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = upright.transpose(STORED[orientation]) if orientation in STORED else upright
    return encode(stored, file_format, exif=exif, **options)


def png_header(width: int, height: int, bits: int = 8, color: int = 2) -> bytes:
    """A PNG that announces its size and has no pixels."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)) + chunk(
        b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def png_with(data: bytes, before: bytes = b"", behind: bytes = b"") -> bytes:
    """A PNG with more chunks before or behind its pixels."""
    first, end = data.index(b"IDAT") - 4, data.rindex(b"IEND") - 4
    return data[:first] + before + data[first:end] + behind + data[end:]


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def xmp_of(orientation: int) -> bytes:
    return (f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/></rdf:RDF>'
            "</x:xmpmeta>").encode()


def webp_header(width: int, height: int) -> bytes:
    """A lossless WebP of 34 bytes that announces its size."""
    bits = (width - 1 | height - 1 << 14).to_bytes(4, "little")
    return b"RIFF" + struct.pack("<I", 26) + b"WEBPVP8L" + struct.pack("<I", 13) + b"/" + bits + bytes(9)


def rle_bmp(size: Size, coded: bytes) -> bytes:
    """A Windows bitmap of 8 bits a pixel, in run-length coding, with a palette of two colours."""
    head = struct.pack("<IiiHHIIiiII", 40, *size, 1, 8, 1, len(coded), 2835, 2835, 2, 0)
    return b"BM" + struct.pack("<IHHI", 62 + len(coded), 0, 0, 62) + head + b"\xff\0\0\0\0\0\xff\0" + coded


def tiff(pixels: np.ndarray, order: Literal["<", ">"] = "<", packed: bool = False, **tags: tuple[int, ...]) -> bytes:
    """A grey TIFF of one strip, of the array's own type, in either byte order; `packed` with deflate. `tags` are more,
    named by their number: t282=(type, value), or instead of those that it has."""
    height, width = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if packed else data
    sample_format = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    short, long = 3, 4
    entries = [(256, short, width), (257, short, height), (258, short, 8 * pixels.dtype.itemsize),
               (259, short, 8 if packed else 1), (262, short, 1), (273, long, 8), (277, short, 1), (278, short, height),
               (279, long, len(data)), (339, short, sample_format)]
    told = {tag: (kind, value) for tag, kind, value in entries} | {int(name[1:]): tag for name, tag in tags.items()}
    written = b"".join(struct.pack(f"{order}HHI", tag, kind, 1) + (
        struct.pack(f"{order}HH", value, 0) if kind == short else struct.pack(f"{order}I", value))
        for tag, (kind, value) in sorted(told.items()))
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8 + len(data))
    return start + data + struct.pack(f"{order}H", len(told)) + written + bytes(4)


def planar_tiff(pixels: np.ndarray, order: Literal["<", ">"] = "<", photometric: int = 2) -> bytes:
    """A TIFF of several values a pixel, whose planes lie one behind the other; four values of RGB are with alpha."""
    height, width, count = pixels.shape
    planes = np.moveaxis(pixels, 2, 0)
    data = planes.astype(pixels.dtype.newbyteorder(order)).tobytes()
    size, behind, short, long = len(data) // count, 8 + len(data), 3, 4
    lists = (struct.pack(f"{order}{count}I", *(8 + number * size for number in range(count)))
             + struct.pack(f"{order}{count}I", *[size] * count)
             + struct.pack(f"{order}{count}H", *[8 * pixels.dtype.itemsize] * count))
    entries = [(256, long, 1, width), (257, long, 1, height), (258, short, count, behind + 8 * count),
               (262, long, 1, photometric), (273, long, count, behind), (277, long, 1, count), (278, long, 1, height),
               (279, long, count, behind + 4 * count), (284, long, 1, 2)]
    entries += [(338, long, 1, 2)] if (count, photometric) == (4, 2) else []
    directory = b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", behind + len(lists))
    return start + data + lists + struct.pack(f"{order}H", len(entries)) + directory + bytes(4)


def big_endian_grey16_tiff(pixels: np.ndarray) -> bytes:
    """As scanners write it; Pillow itself writes little-endian only."""
    height, width = pixels.shape
    data = pixels.astype(">u2").tobytes()
    short, long = 3, 4
    tags = [(256, short, width), (257, short, height), (258, short, 16), (259, short, 1), (262, short, 1),
            (273, long, 8), (277, short, 1), (278, short, height), (279, long, len(data))]
    entries = b"".join(struct.pack(">HHI", tag, kind, 1) + (
        struct.pack(">HH", value, 0) if kind == short else struct.pack(">I", value)) for tag, kind, value in tags)
    return b"MM\0*" + struct.pack(">I", 8 + len(data)) + data + struct.pack(">H", len(tags)) + entries + bytes(4)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def opencv_linear(image: Image.Image, size: Size) -> Image.Image:
    """As `cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)`: each pixel between four, in whole numbers."""
    pixels = np.asarray(image).astype(np.int64)
    (left, right, across), (above, below, down) = (_taps(image.size[axis], size[axis]) for axis in (0, 1))
    rows = [pixels[row][:, left] * across[0][:, None] + pixels[row][:, right] * across[1][:, None]
            for row in (above, below)]
    upper, lower = ((row >> 4) * weight[:, None, None] >> 16 for row, weight in zip(rows, down, strict=True))
    return Image.fromarray((upper + lower + 2 >> 2).astype(np.uint8))


def _taps(length: int, count: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """The pixels before and behind each of `count` positions, and both weights in 2048ths."""
    at = ((np.arange(count) + 0.5) * (length / count) - 0.5).astype(np.float32)
    first = np.floor(at).astype(int)
    weights = [np.rint(share * np.float32(2048)).astype(np.int64) for share in (1 - (at - first), at - first)]
    return first.clip(0, length - 1), (first + 1).clip(0, length - 1), weights


def decode_mask(text: str) -> NDArray[np.bool_]:
    """What `encode_mask` wrote -> (height, width) bool."""
    return np.asarray(mask_image(text)) > 0
