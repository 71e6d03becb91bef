"""A JPEG's structure, read from its bytes: how often a decoder will pass over its pixels. Pure."""

from inference.errors import UnsupportedImage

JPEG_START = b"\xff\xd8\xff"
END_OF_IMAGE = b"\xff\xd9"
JPEG_FORMATS = ("JPEG", "MPO")  # Pillow's names; MPO is the JPEG with a preview behind it that drones and phones write
START_OF_SCAN = MARKER, SCAN = b"\xff\xda"  # in compressed data an FF byte is always followed by 00
MAX_SCANS = 100  # encoders write about 10
COUNT_STEP = 1 << 18  # bytes; between two steps other threads may have the interpreter
# A JPEG's segments: baseline frames; tables, restart interval, application data, comments. Other frames are
# progressive, or none that libjpeg takes.
BASELINE_FRAMES = (0xc0, 0xc1)
OTHER_SEGMENTS = (0xc4, 0xdb, 0xdd, *range(0xe0, 0xf0), 0xfe)


def scans(data: bytes) -> int:
    """How many passes over its pixels a JPEG makes, its preview's included: a small file may hold thousands.

    Raises:
        UnsupportedImage: there are more than any encoder writes.
    """
    found = 1 if _is_one_scan(data) else _count_scans(data)
    if found > MAX_SCANS:
        raise UnsupportedImage(f"the JPEG has {found} scans, at most {MAX_SCANS} are decoded")
    return found


def _is_one_scan(data: bytes) -> bool:
    """Whether a JPEG is baseline with all components in its first scan, as cameras write it: libjpeg decodes that one
    and refuses any behind it. Where it is not plain segment after segment up to there, the answer is no."""
    components, at = 0, 2
    while at + 9 < len(data) and data[at] == MARKER:
        kind = data[at + 1]
        if kind == SCAN:
            return data[at + 4] == components
        if kind in BASELINE_FRAMES:
            components = data[at + 9]
        elif kind not in OTHER_SEGMENTS:
            return False
        at += 2 + int.from_bytes(data[at + 2:at + 4])
    return False


def _count_scans(data: bytes) -> int:
    """A step ends with the first byte of the next one, so that it counts a marker that lies on the edge."""
    return sum(data.count(START_OF_SCAN, at, at + COUNT_STEP + 1) for at in range(0, len(data), COUNT_STEP))


def has_end(data: bytes) -> bool:
    """Whether an end marker follows the last pixels; some cameras leave it away."""
    return data.endswith(END_OF_IMAGE) or data.rfind(END_OF_IMAGE, max(0, data.rfind(START_OF_SCAN))) >= 0
