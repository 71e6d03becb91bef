"""What processes share out among themselves, in units: a unit is a byte of a file, and taken while it is locked."""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path


class SharedUnits:
    """The kernel lets go of what a process that dies had taken. Belongs to one process, and to one thread at a time."""

    def __init__(self, path: Path, count: int) -> None:
        """Raises OSError. Opened once in a process: closing another descriptor of the file would let go of all."""
        self.count = count
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._taken: set[int] = set()

    def take(self, wanted: int, among: range) -> list[int]:
        """So many units of these, or none: whoever waited with some in hand would keep others waiting."""
        taken: list[int] = []
        first = os.getpid() % len(among)  # others begin elsewhere
        for unit in (*among[first:], *among[:first]):
            if len(taken) == wanted:
                break
            if self._take(unit):
                taken.append(unit)
        if len(taken) < wanted:
            self.release(taken)
            return []
        return taken

    def release(self, units: Iterable[int]) -> None:
        for unit in units:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, unit)
            self._taken.remove(unit)

    def _take(self, unit: int) -> bool:
        if unit in self._taken:  # a process is given its own lock again and again
            return False
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, unit)
        except BlockingIOError:
            return False
        self._taken.add(unit)
        return True
