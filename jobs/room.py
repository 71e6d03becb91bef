"""Room on the disk of the state folder. Accepted jobs need some of it to end; kept images give way to them."""

import contextlib
import errno
import os
from pathlib import Path

from settings import MEGA

# Beyond what a new job takes, so much stays free for accepted jobs to end in: a tenth of a small disk, at most this.
RESERVE_BYTES = 64 * MEGA
RESERVE_SHARE = 10


class Room:
    """`kept` is the folder of the images of ended jobs, on the same disk."""

    def __init__(self, folder: Path, kept: Path) -> None:
        self._folder, self._kept = folder, kept

    def free_bytes(self) -> int:
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    def make(self, wanted_bytes: int = 0) -> bool:
        """Whether so much can be written. Where it cannot, kept images are deleted, the oldest first.

        Raises:
            OSError.
        """
        needed = wanted_bytes + self._reserve_bytes()
        if self.free_bytes() >= needed:
            return True
        for file in self._oldest_first():
            file.unlink(missing_ok=True)
            if self.free_bytes() >= needed:
                return True
        return False

    def check(self, wanted_bytes: int) -> None:
        """Raises OSError where there is no room for so much, though kept images gave way."""
        if not self.make(wanted_bytes):
            raise OSError(errno.ENOSPC, "the disk of the state folder is full")

    def _reserve_bytes(self) -> int:
        disk = os.statvfs(self._folder)
        return min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // RESERVE_SHARE)

    def _oldest_first(self) -> list[Path]:
        found = []
        for file in self._kept.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process makes room too
                found.append((file.stat().st_mtime, file))
        return [file for _, file in sorted(found)]
