"""Which of all gunicorn processes' quick slots are taken: keep-alive may bring one process all the connections, while
the others stand idle. No gevent: nothing here waits."""

import fcntl
import os
from pathlib import Path


class SharedSlots:
    """A slot is a byte of a file, and taken while a process has it locked: the kernel lets go of what a process that
    dies had taken."""

    def __init__(self, file: Path, count: int) -> None:
        self._file, self.count = file, count
        self._descriptor = -1
        self._order: list[int] = []
        self._taken: set[int] = set()

    def start(self) -> None:
        """After a fork, never before, and once: closing a second descriptor of the file would let go of all. Raises
        OSError."""
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        first = os.getpid() % self.count  # others begin elsewhere: a look at one that is taken costs a microsecond
        self._order = [*range(first, self.count), *range(first)]

    def take(self) -> int | None:
        """One that nobody has taken, if there is one."""
        return next((slot for slot in self._order if self._take(slot)), None)

    def give_back(self, slot: int) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, slot)
        self._taken.remove(slot)

    def _take(self, slot: int) -> bool:
        if slot in self._taken:  # a process is given its own lock again and again
            return False
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except OSError:  # taken; or no locks on this file system: each process keeps to its own slots
            return False
        self._taken.add(slot)
        return True
