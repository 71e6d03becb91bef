"""A TIFF's first directory: the tags that its pixels need, without what programs and cameras add to them.

Pillow reads all tags in Python, some of them several times, and libtiff complains of each that it does not know;
Photoshop keeps megabytes of layers in one.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from inference.errors import UnsupportedImage
from inference.formats.orientation import of_xmp

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BIG = (b"II+\0", b"MM\0+")  # with 64 bits for each place in the file
ORIENTATION, XMP = 274, 700
BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANES, SAMPLE_FORMAT = 258, 259, 262, 277, 284, 339
PIECES = (273, 324)  # where the strips lie, or the tiles
# Sizes, kinds of pixels, places, and what the ways of packing need.
NEEDED = frozenset((256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325,
                    332, 336, 338, 339, 347, *range(512, 522), 529, 530, 531, 532))
MAX_PIECES = 30_000
MAX_SAMPLES = 100  # values a pixel, of which a refusal tells the sizes
MAX_TAGS = 1 << 16
SHORT = 3
# Bytes of a value, by type; of types that do not exist 1.
BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I"}  # by type, as `struct` calls them
# What a refusal calls them.
COLORS = {0: "grey with zero as white", 1: "grey", 2: "RGB", 3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
NUMBERS = {1: "unsigned", 2: "signed", 3: "floating point", 5: "complex", 6: "complex"}
PACKINGS = {1: "uncompressed", 5: "LZW", 7: "JPEG", 8: "deflate", 32773: "PackBits", 32946: "deflate",
            34712: "JPEG 2000", 34887: "LERC", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL"}
TAKEN = ("taken are grey of 1, 2, 4, 8, 16 and 32 bits, and of 32 in floating point; a palette of up to 8; RGB, RGBA "
         "and CMYK of 8 and 16 bits, unsigned; uncompressed, or with LZW, deflate, PackBits or JPEG; or send a PNG")
# What may stay beside the needed tags: no file is copied for a profile or a date.
FEW_TAGS, FEW_BYTES = 100, 1 << 16


@dataclass(frozen=True)
class _Form:
    """How a directory is written."""

    order: str
    is_big: bool

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.is_big else "H")

    @property
    def place(self) -> str:
        return self.order + ("Q" if self.is_big else "I")

    @property
    def entry(self) -> str:
        return self.order + ("HHQ8s" if self.is_big else "HHI4s")


@dataclass(frozen=True)
class _Entry:
    """One tag: its type, how many values it has, and the values or where they lie."""

    tag: int
    kind: int
    values: int
    content: bytes

    @property
    def size_bytes(self) -> int:
        return BYTES.get(self.kind, 1) * self.values

    def first(self, form: _Form) -> int:
        """The first value, of those whole numbers that lie in the entry itself."""
        [value] = struct.unpack_from(form.order + ("H" if self.kind == SHORT else "I"), self.content)
        return int(value)

    def numbers(self, data: bytes, form: _Form) -> tuple[int, ...]:
        """All values, where they are few whole numbers within the file; else none."""
        if self.kind not in WHOLE_NUMBERS or self.values > MAX_SAMPLES:
            return ()
        source = self.content
        if self.size_bytes > len(source):
            [at] = struct.unpack(form.place, source)
            source = data[at:at + self.size_bytes]
        is_whole = len(source) >= self.size_bytes
        return struct.unpack_from(f"{form.order}{self.values}{WHOLE_NUMBERS[self.kind]}", source) if is_whole else ()


def refusal(data: bytes) -> str:
    """Why a TIFF is refused that Pillow does not read: what it tells of its pixels, and which ones are taken."""
    form = _form(data)
    told = {entry.tag: entry.numbers(data, form) for entry in reversed(list(_entries(data, form)))}
    return f"this kind of TIFF is not decoded, or its header is damaged: {_described(told, form)}; {TAKEN}"


def _described(told: Mapping[int, tuple[int, ...]], form: _Form) -> str:
    """Such as "3 values a pixel of 32 bits, floating point, RGB, LZW, little-endian"."""
    bits = " and ".join(map(str, dict.fromkeys(told.get(BITS, (1,))))) or "unknown"
    samples, numbers, color, packing = (next(iter(told.get(tag, ())), 1)
                                        for tag in (SAMPLES, SAMPLE_FORMAT, PHOTOMETRIC, COMPRESSION))
    return ", ".join((f"{samples} value{'s' * (samples != 1)} a pixel of {bits} bits",
                      NUMBERS.get(numbers, "unknown numbers"),
                      COLORS.get(color, f"colours of kind {color}"), PACKINGS.get(packing, f"compression {packing}"),
                      "little-endian" if form.order == "<" else "big-endian"))


def pixels_alone(data: bytes) -> bytes:
    """The TIFF with a directory that has only what is needed; as it is where there is not much more.

    Raises:
        UnsupportedImage.
    """
    form = _form(data)
    try:
        entries = list(_entries(data, form))
    except struct.error as error:
        raise UnsupportedImage("the TIFF ends within its header") from error
    if any(entry.tag in PIECES and entry.values > MAX_PIECES for entry in entries):
        raise UnsupportedImage(f"the TIFF has more than {MAX_PIECES} strips or tiles")
    others = [entry for entry in entries if entry.tag not in NEEDED]
    is_short = len(others) <= FEW_TAGS and sum(entry.size_bytes for entry in others) <= FEW_BYTES
    if is_short and not _has_lone_plane(form, entries):
        return data
    return _with_directory(data, form, _needed(data, form, entries))


def _form(data: bytes) -> _Form:
    return _Form("<" if data.startswith(b"II") else ">", data.startswith(BIG))


def _entries(data: bytes, form: _Form) -> Iterator[_Entry]:
    [at] = struct.unpack_from(form.place, data, 8 if form.is_big else 4)
    [count] = struct.unpack_from(form.count, data, at)
    at += struct.calcsize(form.count)
    size = struct.calcsize(form.entry)
    for number in range(min(count, MAX_TAGS)):
        yield _Entry(*struct.unpack_from(form.entry, data, at + number * size))


def _has_lone_plane(form: _Form, entries: list[_Entry]) -> bool:
    """Whether separate planes are told of one value a pixel, which means nothing. Pillow would take it for 8 bits."""
    told = {entry.tag: entry.first(form) for entry in reversed(entries) if entry.tag in (SAMPLES, PLANES)}
    return told.get(SAMPLES, 1) == 1 and told.get(PLANES, 1) != 1


def _needed(data: bytes, form: _Form, entries: list[_Entry]) -> dict[int, _Entry]:
    """By tag, of which the first counts; an orientation in XMP becomes a tag."""
    kept = {entry.tag: entry for entry in reversed(entries) if entry.tag in NEEDED}
    if _has_lone_plane(form, entries):
        del kept[PLANES]
    xmp = next((entry for entry in entries if entry.tag == XMP), None)
    if xmp is not None and ORIENTATION not in kept:
        [at] = struct.unpack(form.place, xmp.content)
        content = struct.pack(f"{form.order}H", of_xmp(data[at:at + xmp.size_bytes]) or 1)
        kept[ORIENTATION] = _Entry(ORIENTATION, SHORT, 1, content.ljust(len(xmp.content), b"\0"))
    return kept


def _with_directory(data: bytes, form: _Form, entries: dict[int, _Entry]) -> bytes:
    """The directory lies behind all else, where no other follows it."""
    spare = bytes(len(data) % 2)
    start = data[:8 if form.is_big else 4] + struct.pack(form.place, len(data) + len(spare))
    written = [struct.pack(form.entry, entry.tag, entry.kind, entry.values, entry.content)
               for _, entry in sorted(entries.items())]
    end = bytes(struct.calcsize(form.place))
    return b"".join((start, memoryview(data)[len(start):], spare, struct.pack(form.count, len(written)), *written, end))
