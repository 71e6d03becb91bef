"""A file for the numbers of one process, which outlives it.

A process owns a file for as long as it has its first byte locked, and the kernel unlocks it whatever ends the process.
The next process that needs a file takes over one without an owner and counts on in it: so nothing is lost when a
process dies, and nothing is ever added twice. There are no more files than processes that lived at the same time.

A file consists of chunks: how many of its bytes are used, then rows. A row is the length of its key, how many numbers
it has, the key in JSON, and the numbers. What is written of a row that is not finished yet is not counted as used.
"""

import fcntl
import json
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

Key = tuple[str, ...]  # a metric's name, and the values of its labels
# In a file each number is read and written at once.
Row: TypeAlias = "memoryview[float] | list[float]"
USED, HEAD = struct.Struct("=Q"), struct.Struct("=II")
CHUNK_BYTES = max(1 << 14, mmap.ALLOCATIONGRANULARITY)
FILES = 1 << 14  # far more than there are processes


class Slot:
    """The file that this process owns. A process has one at a time: to close another descriptor of the file would
    unlock it."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self.path, self._descriptor = _claimed(folder)
        self._chunks = [self._mapped(number) for number in range(self._size() // CHUNK_BYTES)]

    def rows(self) -> Iterator[tuple[Key, Row]]:
        """What the file holds."""
        for chunk in tuple(self._chunks):
            yield from _rows(chunk)

    def add(self, key: Key, width: int) -> Row:
        """A new row of zeros. Raises OSError where there is no room on the disk."""
        text = json.dumps(key, ensure_ascii=False).encode("utf-8", "replace")
        text += b" " * (-len(text) % USED.size)
        begin = HEAD.size + len(text)
        size = begin + width * USED.size
        chunk, used = self._room_for(size)
        HEAD.pack_into(chunk, used, len(text), width)
        chunk[used + HEAD.size:used + size] = text + bytes(width * USED.size)
        USED.pack_into(chunk, 0, used + size)
        return chunk[used + begin:used + size].cast("d")

    def close(self) -> None:
        """Leave the file to another process."""
        os.close(self._descriptor)

    def _room_for(self, size: int) -> tuple[memoryview, int]:
        """The chunk with so much room, and where it begins."""
        if not self._chunks or _used(self._chunks[-1]) + size > CHUNK_BYTES:
            begin = len(self._chunks) * CHUNK_BYTES
            os.posix_fallocate(self._descriptor, begin, CHUNK_BYTES)  # on a full disk an error here, not a signal later
            self._chunks.append(self._mapped(len(self._chunks)))
        return self._chunks[-1], _used(self._chunks[-1])

    def _mapped(self, number: int) -> memoryview:
        return memoryview(mmap.mmap(self._descriptor, CHUNK_BYTES, offset=number * CHUNK_BYTES))

    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size


def read(path: Path) -> tuple[list[tuple[Key, list[float]]], bool]:
    """What another process's file holds, and whether its owner lives. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        is_owned = not _locked(descriptor, fcntl.LOCK_SH)  # other readers may ask the same in this moment
        size = os.fstat(descriptor).st_size
        chunks = [mmap.mmap(descriptor, CHUNK_BYTES, prot=mmap.PROT_READ, offset=begin)
                  for begin in range(0, size - CHUNK_BYTES + 1, CHUNK_BYTES)]
        return [(key, list(row)) for chunk in chunks for key, row in _rows(memoryview(chunk))], is_owned
    finally:
        os.close(descriptor)


def _claimed(folder: Path) -> tuple[Path, int]:
    """The first file that nobody owns. Raises OSError."""
    for number in range(FILES):
        path = folder / str(number)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _locked(descriptor, fcntl.LOCK_EX):
            return path, descriptor
        os.close(descriptor)
    raise OSError(f"all {FILES} files for the numbers of processes are in use")


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.lockf(descriptor, how | fcntl.LOCK_NB, 1)
        return True
    except (BlockingIOError, PermissionError):  # another process has it; POSIX allows either error
        return False


def _rows(chunk: memoryview) -> Iterator[tuple[Key, Row]]:
    at, end = USED.size, _used(chunk)
    while at < end:
        key_bytes, width = HEAD.unpack_from(chunk, at)
        begin = at + HEAD.size + key_bytes
        at, key = begin + width * USED.size, bytes(chunk[at + HEAD.size:begin])
        yield tuple(json.loads(key)), chunk[begin:at].cast("d")


def _used(chunk: memoryview) -> int:
    return USED.unpack_from(chunk)[0] or USED.size
