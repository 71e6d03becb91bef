"""The inline work of all web processes that waits or runs, in predicted milliseconds, so that routing sees all of it.

The file holds a table: for each route a column of milliseconds and one of how many images there are, with one slot for
each web process. A process has its slot
while it has the slot's byte locked, so the kernel frees the slot of a process that dies, however it dies.
"""

import fcntl
import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COLUMNS, COUNTS = {"quick": 0, "long": 1}, {"quick": 2, "long": 3}  # by route
SLOTS = 512  # a reload has twice the at most 256 web processes for a while
FILE_BYTES = (len(COLUMNS) + len(COUNTS)) * SLOTS * 8
log = logging.getLogger(__name__)


class Waiting:
    """The table as one web process reads it and writes its slot."""

    def __init__(self, file: Path, predictors: int) -> None:
        """`predictors` share the work of a route."""
        self._file, self._predictors = file, predictors
        self._own: dict[str, list[float]] = {route: [] for route in COLUMNS}

    def start(self) -> None:
        """Claim a slot; after a fork, never before, and once: closing a second descriptor of the file would unlock
        the slot. Raises OSError."""
        self._descriptor, self._table = _opened(self._file)
        self._slot = next(slot for slot in range(SLOTS) if _lock(self._descriptor, slot))
        _clear(self._table, self._slot)
        _clear_unlocked(self._descriptor, self._table, self._slot)

    def ms(self, route: str) -> float:
        """How long a question that comes now waits for a predictor."""
        return self._sum(COLUMNS[route]) / self._predictors

    def open_work(self, route: str) -> tuple[int, float]:
        """How many images wait or run on a route, and their predicted milliseconds together."""
        return round(self._sum(COUNTS[route])), self._sum(COLUMNS[route])

    @contextmanager
    def counted(self, route: str, predicted_ms: float) -> Iterator[None]:
        """Count work for as long as it waits or runs."""
        self._own[route].append(predicted_ms)
        self._tell(route)
        try:
            yield
        finally:
            self._own[route].remove(predicted_ms)
            self._tell(route)

    def _tell(self, route: str) -> None:
        self._table[COLUMNS[route] * SLOTS + self._slot] = sum(self._own[route])
        self._table[COUNTS[route] * SLOTS + self._slot] = len(self._own[route])

    def _sum(self, column: int) -> float:
        return sum(self._table[column * SLOTS:(column + 1) * SLOTS])


def clear_dead(file: Path) -> None:
    """Forget the work of processes that died; asked by a process that has no slot itself, and that must live on."""
    try:
        descriptor, table = _opened(file)
    except OSError as error:
        log.warning("what a dead web process waited for still counts: %s", error)
        return
    try:
        _clear_unlocked(descriptor, table, own=None)
    finally:
        table.release()
        os.close(descriptor)


def _opened(file: Path) -> "tuple[int, memoryview[float]]":
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.posix_fallocate(descriptor, 0, FILE_BYTES)  # on a full disk an error here, not a signal at the first write
    return descriptor, memoryview(mmap.mmap(descriptor, FILE_BYTES)).cast("d")


def _clear_unlocked(descriptor: int, table: "memoryview[float]", own: int | None) -> None:
    used = {at % SLOTS for at, ms in enumerate(table) if ms}
    for slot in used - {own}:
        if _lock(descriptor, slot):
            _clear(table, slot)
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, slot)


def _clear(table: "memoryview[float]", slot: int) -> None:
    for column in (*COLUMNS.values(), *COUNTS.values()):
        table[column * SLOTS + slot] = 0.0


def _lock(descriptor: int, slot: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        return True
    except (BlockingIOError, PermissionError):  # another process has it; POSIX allows either error
        return False
