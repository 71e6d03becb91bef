"""How an image is to be turned, from its EXIF or XMP block: 1 to 8 as EXIF counts, 0 where the block does not say."""

import re
import struct

TAG = 0x0112
PREFIX = b"Exif\0\0"
BYTE_ORDERS = {b"II": "<", b"MM": ">"}
VALUES = {1: "B", 3: "H", 4: "I"}  # TIFF's types of whole numbers
MAX_XMP_BYTES = 1 << 18
XMP = re.compile(rb"""tiff:Orientation(?:=["']|>)\s*([1-8])""")
RAW_PROFILE_LINES = 3  # an empty line, a name and a length stand before a profile's hexadecimal digits


def orientation(exif: bytes, xmp: bytes) -> int:
    """EXIF's if it says one, else XMP's; 1 where neither does."""
    return of_exif(exif) or of_xmp(xmp) or 1


def of_exif(block: bytes) -> int:
    """Only the tag itself is read: others may be megabytes long, or damaged."""
    while block.startswith(PREFIX):
        block = block[len(PREFIX):]
    order = BYTE_ORDERS.get(block[:2])
    if order is None:
        return 0
    try:
        return _tag(block, order)
    except struct.error:  # a damaged block does not make a readable image unreadable
        return 0


def of_xmp(block: bytes) -> int:
    found = XMP.search(block[:MAX_XMP_BYTES])
    return int(found[1]) if found else 0


def raw_profile(text: bytes) -> bytes:
    """The block in a PNG's text chunk as ImageMagick writes it; empty where it is damaged."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[RAW_PROFILE_LINES:]).decode("ascii"))
    except ValueError:
        return b""


def _tag(block: bytes, order: str) -> int:
    [at] = struct.unpack_from(f"{order}I", block, 4)
    [count] = struct.unpack_from(f"{order}H", block, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", block, entry)
        if tag == TAG and kind in VALUES and values == 1:
            [value] = struct.unpack_from(order + VALUES[kind], block, entry + 8)
            return value if 1 <= value <= 8 else 0
    return 0
