"""A file in memory of which a decoder may read only so much."""

import io
import sys
from collections.abc import Callable

# A TIFF's tags may be millions of numbers; an orientation needs two bytes, a colour profile some kB.
TIFF_HEADER_BYTES = 1 << 20
TIFF_STARTS = (b"II", b"MM")
HEADER_READS = 2_000  # a photograph of any served format needs at most 40
PIXEL_READS = 1 << 20  # pieces of 64 KiB, strips or chunks


def nothing() -> None:
    """What is called where nobody wants to end the decoding."""


class BoundedReads(io.BytesIO):
    """Pillow walks a header's pieces in Python: millions of empty ones would take it long. `behind` is read once the
    file is at its end."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.size_bytes = len(data)
        self.reads_left = HEADER_READS
        self.bytes_left = TIFF_HEADER_BYTES if data.startswith(TIFF_STARTS) else sys.maxsize
        self.check: Callable[[], None] = nothing
        self.behind = b""

    def read(self, size: int | None = -1, /) -> bytes:
        self.check()
        found = super().read(size)
        if not found and self.behind:
            found, self.behind = self.behind, b""
        self.reads_left -= 1
        self.bytes_left -= len(found)
        if self.reads_left < 0 or self.bytes_left < 0:
            raise OSError("it has too many pieces, or more bytes than its pixels need")
        return found

    def allow_pixels(self, size_bytes: int, check: Callable[[], None]) -> None:
        """The header was read; what follows are pixels, of at most so many bytes. `check` is called at each read."""
        self.reads_left, self.bytes_left, self.check = max(PIXEL_READS, size_bytes), size_bytes, check
