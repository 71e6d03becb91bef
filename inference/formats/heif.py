"""The boxes of a HEIF file (HEIC, AVIF): size, turn and tiles of its primary image.

ISO/IEC 14496-12 tells of boxes, 23008-12 of the items that lie below the box `meta`. Native libraries, asked for the
same, read all of the file.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from inference.errors import UnsupportedImage
from inference.formats.header import Header

FILE_TYPE = b"ftyp"
FORMATS = {b"hvc1": "HEIC", b"hev1": "HEIC", b"av01": "AVIF"}  # by how an item is coded
GRID = b"grid"
MAX_BOXES = 4_000  # of one box; libheif takes 1,000 items
ALPHA = (b":alpha\0", b"auxid:1\0")  # how the names of transparency end
# EXIF's orientation, by quarter turns to the left, and by the axis of a mirroring that follows.
ORIENTATIONS: dict[tuple[int, int | None], int] = {
    (0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6, (0, 0): 4, (0, 1): 2, (1, 0): 5, (1, 1): 7, (2, 0): 2,
    (2, 1): 4, (3, 0): 7, (3, 1): 5}
Size = tuple[int, int]


@dataclass(frozen=True)
class _Box:
    """Its content lies from `begin` to `end`."""

    name: bytes
    begin: int
    end: int


@dataclass
class _Items:
    """What `meta` tells of the images in the file: how each is coded, its properties, and what it is made of."""

    primary: int = -1
    codings: dict[int, bytes] = field(default_factory=dict)
    properties: list[_Box] = field(default_factory=list)
    owned: dict[int, list[int]] = field(default_factory=dict)  # numbers in `properties`, from 1
    tiles: dict[int, list[int]] = field(default_factory=dict)
    belong_to: dict[int, list[int]] = field(default_factory=dict)  # such as transparency to its image


def is_heif(data: bytes) -> bool:
    """A video has the same beginning."""
    return data[4:8] == FILE_TYPE


def read(data: bytes) -> Header:
    """What the boxes tell of the primary image.

    Raises:
        UnsupportedImage.
    """
    meta = next((box for box in _boxes(data, 0, len(data)) if box.name == b"meta"), None)
    if meta is None:
        brand = data[8:12].decode("latin-1").strip()
        raise UnsupportedImage(f"the file is a video or an image sequence ({brand}), and has no image of its own")
    try:
        return _header(data, _items(data, meta))
    except (struct.error, IndexError) as error:
        raise UnsupportedImage("the HEIF file ends within its header") from error


def _header(data: bytes, items: _Items) -> Header:
    coding = items.codings.get(items.primary, b"none")
    tiles = items.tiles.get(items.primary, []) if coding == GRID else []
    kinds = {FORMATS.get(items.codings.get(item, b"")) for item in tiles or [items.primary]}
    if len(kinds) != 1 or None in kinds:
        raise UnsupportedImage(f"the HEIF file holds an image coded as {coding.decode('latin-1')!r}; HEIC (hvc1) and "
                               "AVIF (av01) are decoded, whole or as a grid of tiles")
    [file_format] = kinds
    width, height = _checked(_size(data, items, items.primary, file_format == "HEIC"),
                             [_size(data, items, item, False) for item in tiles])
    turned = _turned(data, items)
    return Header(str(file_format), width, height, "RGBA" if _has_alpha(data, items) else "RGB", turned,
                  "grid" if tiles else "", max(1, len(tiles)))


def _checked(size: Size, tiles: Sequence[Size]) -> Size:
    """Tiles reach over the right and the lower end by less than one of them."""
    if not tiles:
        return size
    (width, height), (tile_width, tile_height) = size, tiles[0]
    if sum(across * down for across, down in tiles) > (width + tile_width) * (height + tile_height):
        raise UnsupportedImage("the HEIF file has more tiles than its image needs")
    return size


def _boxes(data: bytes, begin: int, end: int) -> Iterator[_Box]:
    """The last one may be cut off."""
    for _ in range(MAX_BOXES):
        if begin + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, begin)
        head = 8
        if size == 1 and begin + 16 <= end:
            head, [size] = 16, struct.unpack_from(">Q", data, begin + 8)
        size = end - begin if size == 0 else max(size, head)
        yield _Box(name, begin + head, min(begin + size, end))
        begin += size
    raise UnsupportedImage(f"the HEIF file has more than {MAX_BOXES} boxes in one")


def _version(data: bytes, box: _Box) -> tuple[int, int]:
    """Version and flags, with which some boxes begin."""
    [value] = struct.unpack_from(">I", data, box.begin)
    return value >> 24, value & 0xffffff


def _items(data: bytes, meta: _Box) -> _Items:
    items = _Items()
    for box in _boxes(data, meta.begin + 4, meta.end):
        if box.name in _READERS:
            _READERS[box.name](data, box, items)
    return items


def _read_primary(data: bytes, box: _Box, items: _Items) -> None:
    form = ">I" if _version(data, box)[0] else ">H"
    [items.primary] = struct.unpack_from(form, data, box.begin + 4)


def _read_codings(data: bytes, box: _Box, items: _Items) -> None:
    begin = box.begin + (8 if _version(data, box)[0] else 6)
    for entry in _boxes(data, begin, box.end):
        version, _ = _version(data, entry)
        form = ">IH4s" if version == 3 else ">HH4s"
        item, _, coding = struct.unpack_from(form, data, entry.begin + 4)
        items.codings[item] = coding


def _read_properties(data: bytes, box: _Box, items: _Items) -> None:
    for inner in _boxes(data, box.begin, box.end):
        if inner.name == b"ipco":
            items.properties = list(_boxes(data, inner.begin, inner.end))
        elif inner.name == b"ipma":
            _read_owners(data, inner, items)


def _read_owners(data: bytes, box: _Box, items: _Items) -> None:
    version, flags = _version(data, box)
    item_form = ">I" if version else ">H"
    number_form, number_bytes, mask = (">H", 2, 0x7fff) if flags & 1 else (">B", 1, 0x7f)
    [count] = struct.unpack_from(">I", data, box.begin + 4)
    at = box.begin + 8
    for _ in range(min(count, MAX_BOXES)):
        [item] = struct.unpack_from(item_form, data, at)
        at += struct.calcsize(item_form)
        numbers = data[at]
        items.owned[item] = [struct.unpack_from(number_form, data, at + 1 + index * number_bytes)[0] & mask
                             for index in range(numbers)]
        at += 1 + numbers * number_bytes


def _read_references(data: bytes, box: _Box, items: _Items) -> None:
    form, size = (">I", 4) if _version(data, box)[0] else (">H", 2)
    for entry in _boxes(data, box.begin + 4, box.end):
        kept = {b"dimg": items.tiles, b"auxl": items.belong_to}.get(entry.name)
        if kept is not None:
            [item] = struct.unpack_from(form, data, entry.begin)
            [count] = struct.unpack_from(">H", data, entry.begin + size)
            kept[item] = [struct.unpack_from(form, data, entry.begin + size + 2 + index * size)[0]
                          for index in range(min(count, MAX_BOXES))]


_READERS = {b"pitm": _read_primary, b"iinf": _read_codings, b"iprp": _read_properties, b"iref": _read_references}


def _property(items: _Items, item: int, name: bytes) -> _Box | None:
    numbers = (number for number in items.owned.get(item, ()) if 0 < number <= len(items.properties))
    return next((box for number in numbers if (box := items.properties[number - 1]).name == name), None)


def _size(data: bytes, items: _Items, item: int, is_cropped: bool) -> Size:
    """As it is shown before it is turned; libheif crops, Pillow's AVIF decoder does not."""
    extent, crop = _property(items, item, b"ispe"), _property(items, item, b"clap")
    if extent is None:
        raise UnsupportedImage("the HEIF file does not tell the size of its image")
    width, height = struct.unpack_from(">II", data, extent.begin + 4)
    if crop is None or not is_cropped:
        return width, height
    across, across_by, down, down_by = struct.unpack_from(">IIII", data, crop.begin)
    return min(width, across // max(1, across_by)), min(height, down // max(1, down_by))


def _turned(data: bytes, items: _Items) -> int:
    turn, mirror = (_property(items, items.primary, name) for name in (b"irot", b"imir"))
    quarters = data[turn.begin] & 3 if turn else 0
    return ORIENTATIONS[quarters, data[mirror.begin] & 1 if mirror else None]


def _has_alpha(data: bytes, items: _Items) -> bool:
    parts = [item for item, owners in items.belong_to.items() if items.primary in owners]
    names = (_property(items, item, b"auxC") for item in parts)
    return any(data[box.begin + 4:box.end].endswith(ALPHA) for box in names if box)
