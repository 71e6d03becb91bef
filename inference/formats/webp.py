"""A WebP's chunks: its size, transparency and orientation. libwebp, asked for them, takes memory for all pixels."""

import struct
from collections.abc import Iterator

from inference.errors import UnsupportedImage
from inference.formats.header import Header
from inference.formats.orientation import orientation

RIFF, NAME = b"RIFF", b"WEBP"
LOSSY, LOSSLESS, EXTENDED, FRAME = b"VP8 ", b"VP8L", b"VP8X", b"ANMF"
HEADER_BYTES = 12
FRAME_HEADER_BYTES = 16  # before the chunks of one frame of an animation
MAX_CHUNKS = 20_000  # each frame of an animation is one
START_CODE = b"\x9d\x01\x2a"
HAS_ALPHA = 0x10  # in the flags of an extended file
Chunk = tuple[bytes, int, int]  # its name, and where its content begins and ends


def is_webp(data: bytes) -> bool:
    return data[:4] == RIFF and data[8:HEADER_BYTES] == NAME


def read(data: bytes) -> Header:
    """What the header tells.

    Raises:
        UnsupportedImage.
    """
    try:
        return _read(data, list(_chunks(data)))
    except (struct.error, IndexError) as error:
        raise UnsupportedImage("the WebP ends within its header") from error


def _read(data: bytes, chunks: list[Chunk]) -> Header:
    name, begin, _ = chunks[0]
    width, height, has_alpha = _SIZES[name](data, begin) if name in _SIZES else _refuse(name)
    blocks = {name: data[begin:end] for name, begin, end in chunks if name in (b"EXIF", b"XMP ")}
    return Header("WEBP", width, height, "RGBA" if has_alpha else "RGB",
                  orientation(blocks.get(b"EXIF", b""), blocks.get(b"XMP ", b"")),
                  "lossless" if _is_lossless(data, chunks) else "")


def _chunks(data: bytes) -> Iterator[Chunk]:
    """The last one may be cut off."""
    at = HEADER_BYTES
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, at + 8, at + 8 + size
        at += 8 + size + size % 2
    raise UnsupportedImage(f"the WebP has more than {MAX_CHUNKS} chunks")


def _lossy(data: bytes, begin: int) -> tuple[int, int, bool]:
    if data[begin + 3:begin + 6] != START_CODE:
        raise UnsupportedImage("the WebP's first frame does not begin as one does")
    width, height = struct.unpack_from("<HH", data, begin + 6)
    return width & 0x3fff, height & 0x3fff, False


def _lossless(data: bytes, begin: int) -> tuple[int, int, bool]:
    [bits] = struct.unpack_from("<I", data, begin + 1)
    return (bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1, bool(bits >> 28 & 1)


def _extended(data: bytes, begin: int) -> tuple[int, int, bool]:
    flags, *_ = struct.unpack_from("<B3s6s", data, begin)
    width, height = (int.from_bytes(data[at:at + 3], "little") + 1 for at in (begin + 4, begin + 7))
    return width, height, bool(flags & HAS_ALPHA)


def _refuse(name: bytes) -> tuple[int, int, bool]:
    raise UnsupportedImage(f"the WebP begins with {name!r} instead of an image")


_SIZES = {LOSSY: _lossy, LOSSLESS: _lossless, EXTENDED: _extended}


def _is_lossless(data: bytes, chunks: list[Chunk]) -> bool:
    """Of an animation its first frame counts."""
    for name, begin, _ in chunks:
        if name == FRAME:
            begin += FRAME_HEADER_BYTES
            return data[begin:begin + 4] == LOSSLESS
        if name in (LOSSY, LOSSLESS):
            return name == LOSSLESS
    return False
