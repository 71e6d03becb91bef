"""A share of a limit for each caller, so that none can take all of it."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

OVERDRAFT = 1.5


def fits(own: float, total: float, size: float, limit: float) -> bool:
    """Whether a caller who has `own` of what all have together may take `size` more.

    Alone he may take all of the limit. While others are there he gets no more than half of it, unless he has nothing
    yet. Within his half he is also served when another one, who was alone before, has taken all: then all have up to
    one and a half times the limit together.
    """
    within_half = own + size <= limit / 2
    if total + size <= limit:
        return within_half or own in (0, total)
    return within_half and total + size <= OVERDRAFT * limit


class Shares:
    """What callers have of one limit, in one process."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._held: defaultdict[str, float] = defaultdict(float)
        self.total = 0.0

    def has_room(self, caller: str, size: float) -> bool:
        """Whether this caller may take so much more; less he always may."""
        return size <= 0 or fits(self._held.get(caller, 0.0), self.total, size, self._limit)

    def take(self, caller: str, size: float) -> bool:
        """Count so much more of this caller's, if there is room for it. A negative size gives back."""
        if not self.has_room(caller, size):
            return False
        self._held[caller] += size
        self.total += size
        if not self._held[caller]:
            del self._held[caller]
        return True

    @contextmanager
    def place(self, caller: str) -> Iterator[bool]:
        """One more of this caller's for as long as the block lasts, and whether there is room for it."""
        taken = self.take(caller, 1)
        try:
            yield taken
        finally:
            if taken:
                self.take(caller, -1)
