"""A PNG's chunks: what its header tells, and its pixels without all that may lie before and behind them.

A decoder that reads all of a file would unpack megabytes of text, and walk chunk after chunk, in Python.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from inference.errors import UnsupportedImage
from inference.formats.header import Header
from inference.formats.orientation import of_exif, of_xmp, raw_profile

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
CHUNK_HEAD = struct.Struct(">I4s")
AROUND = 12  # bytes of a chunk beside its content: its length, its name, its checksum
MAX_CHUNKS = 1 << 15  # encoders write pieces of 8 KiB and more
MAX_BLOCK_BYTES = 1 << 18  # of EXIF or XMP
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# By bits of a channel and colour type, as Pillow decodes them.
MODES = {(1, 0): "1", (2, 0): "L", (4, 0): "L", (8, 0): "L", (16, 0): "I;16", (8, 2): "RGB", (16, 2): "RGB",
         (1, 3): "P", (2, 3): "P", (4, 3): "P", (8, 3): "P", (8, 4): "LA", (16, 4): "RGBA", (8, 6): "RGBA",
         (16, 6): "RGBA"}
# Deflate never makes much more of its input; what is over is padding, which a decoder reads all the same.
MOST_EXPANDED, SPARE_BYTES = 1.25, 1 << 16
EXIF, TEXTS, XMP_KEY = b"eXIf", (b"tEXt", b"zTXt", b"iTXt"), b"XML:com.adobe.xmp"
PROFILE_KEYS = (b"Raw profile type exif", b"Raw profile type APP1", b"Raw profile type xmp")


class _Chunk(NamedTuple):
    """Its content lies from `begin` to `end`."""

    name: bytes
    begin: int
    end: int


def read(data: bytes) -> Header:
    """What the header tells.

    Raises:
        UnsupportedImage.
    """
    chunks = list(_chunks(data))
    first = chunks[0] if chunks else _Chunk(b"", 0, 0)
    if first.name != b"IHDR" or first.end - first.begin != 13:
        raise UnsupportedImage("the PNG does not begin with its header")
    width, height, bits, color, *_, interlaced = struct.unpack_from(">IIBBBBB", data, first.begin)
    if (bits, color) not in MODES:
        raise UnsupportedImage(f"the PNG has pixels of a kind that does not exist ({bits} bits, colour type {color})")
    _check_padding(chunks, ((width * bits * CHANNELS[color] + 7) // 8 + 2) * height)
    return Header("PNG", width, height, MODES[bits, color], _orientation(data, chunks),
                  "interlaced" if interlaced else "")


def pixels_alone(data: bytes) -> bytes:
    """The same PNG with nothing but its header, its palette and its pixels, which are the first run of IDAT."""
    chunks = list(_chunks(data))
    if all(chunk.name in (b"IHDR", b"PLTE", b"IDAT", b"IEND") for chunk in chunks):
        return data
    kept = [data[chunk.begin - 8:chunk.end + 4] for chunk in chunks if chunk.name in (b"IHDR", b"PLTE")]
    run = _run(chunks)
    return b"".join([SIGNATURE, *kept, data[run[0].begin - 8:run[-1].end + 4] if run else b"", END])


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The last one may be cut off."""
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        length, name = CHUNK_HEAD.unpack_from(data, at)
        yield _Chunk(name, at + 8, min(at + 8 + length, len(data)))
        if name == b"IEND":
            return
        at += AROUND + length
    raise UnsupportedImage(f"the PNG has more than {MAX_CHUNKS} chunks")


def _run(chunks: list[_Chunk]) -> list[_Chunk]:
    """The first chunks with pixels that follow each other; the standard knows no others."""
    first = next((index for index, chunk in enumerate(chunks) if chunk.name == b"IDAT"), len(chunks))
    after = next((index for index in range(first, len(chunks)) if chunks[index].name != b"IDAT"), len(chunks))
    return chunks[first:after]


def _check_padding(chunks: list[_Chunk], unpacked_bytes: int) -> None:
    packed_bytes = sum(chunk.end - chunk.begin for chunk in _run(chunks))
    if packed_bytes > MOST_EXPANDED * unpacked_bytes + SPARE_BYTES:
        raise UnsupportedImage(f"the PNG has {packed_bytes} bytes for pixels that are {unpacked_bytes} unpacked")


def _orientation(data: bytes, chunks: list[_Chunk]) -> int:
    """By the chunk that the standard has for it, else by ImageMagick's text, else by XMP; before or behind the
    pixels."""
    blocks = [chunk for chunk in chunks if chunk.end - chunk.begin <= MAX_BLOCK_BYTES]
    exif = [data[chunk.begin:chunk.end] for chunk in blocks if chunk.name == EXIF]
    texts = dict(filter(None, (_text(data, chunk) for chunk in blocks if chunk.name in TEXTS)))
    found = [*map(of_exif, exif), *(of_exif(raw_profile(texts.get(key, b""))) for key in PROFILE_KEYS[:2]),
             of_xmp(texts.get(XMP_KEY, b"")), *(of_xmp(raw_profile(texts.get(key, b""))) for key in PROFILE_KEYS[1:])]
    return next(filter(None, found), 1)


def _text(data: bytes, chunk: _Chunk) -> tuple[bytes, bytes] | None:
    """The keyword and the text of a chunk that may tell an orientation; nothing else is unpacked."""
    key, _, rest = data[chunk.begin:chunk.begin + 80].partition(b"\0")
    if key not in (XMP_KEY, *PROFILE_KEYS):
        return None
    rest = data[chunk.begin + len(key) + 1:chunk.end]
    if chunk.name == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    else:
        packed, rest = chunk.name == b"zTXt", rest[1:] if chunk.name == b"zTXt" else rest
    return key, _unpacked(rest) if packed else rest


def _unpacked(text: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(text, 2 * MAX_BLOCK_BYTES)
    except zlib.error:  # a damaged text does not make a readable image unreadable
        return b""
