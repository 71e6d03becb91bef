"""What decoded images take of the memory, counted over all predictors of a machine."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from predictors.shared_units import SharedUnits

UNIT_BYTES = 1_000_000
QUICK_SHARE = 4  # a quarter is the quick route's alone
LOOK_S = 0.005  # between two looks for room


class DecodedBytes:
    """Belongs to one predictor. Behind the units that are reserved lies a door for each part: who waits for room
    keeps it locked, so that smaller images that come later do not overtake him for ever."""

    def __init__(self, path: Path, limit_bytes: int, group: str,
                 tell: Callable[[int], None] = lambda reserved_bytes: None) -> None:
        """`tell` is given how many bytes this predictor has reserved, whenever that changes."""
        self._tell = tell
        units = max(1, limit_bytes // UNIT_BYTES)
        self._units = SharedUnits(path, units)
        quick = units // QUICK_SHARE
        self._own = range(quick) if group == "quick" else range(quick, units)
        door = units + (group == "quick")
        self._door = range(door, door + 1)

    @contextmanager
    def reserved(self, size_bytes: int, check: Callable[[], None]) -> Iterator[None]:
        """Reserve room for an image, and wait until there is some; `check` may end the wait by raising. An image that
        needs more than its route's part reserves all of it."""
        wanted = min(len(self._own), -(-size_bytes // UNIT_BYTES))
        units = self._taken(wanted, check)
        self._tell(len(units) * UNIT_BYTES)
        try:
            yield
        finally:
            self._units.release(units)
            self._tell(0)

    def _taken(self, wanted: int, check: Callable[[], None]) -> list[int]:
        door = self._wait_for(1, self._door, check)
        try:
            return self._wait_for(wanted, self._own, check)
        finally:
            self._units.release(door)

    def _wait_for(self, wanted: int, among: range, check: Callable[[], None]) -> list[int]:
        while wanted and not (units := self._units.take(wanted, among)):
            check()
            time.sleep(LOOK_S)
        return units if wanted else []
