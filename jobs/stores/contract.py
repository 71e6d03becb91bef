"""What every store can do. tests/unit/test_store.py holds each of them to it."""

from dataclasses import dataclass
from typing import Protocol

# Images of jobs that wait or run; of jobs that succeeded, so that their results can be drawn; large results.
SPOOL, ENDED, RESULTS = FOLDERS = ("spool", "ended", "results")


@dataclass(frozen=True)
class Entry:
    """A name in a folder of a store. Its age is told by the store's own clock, which no other clock has to agree with:
    seconds since it was put or renamed there, in a folder on a disk since it was put."""

    name: str
    size_bytes: int
    age_s: float


class Store(Protocol):
    """Bytes by `<folder>/<name>`. Whoever reads gets all that was put or nothing of it, and every call may be repeated.

    A store that is full or away raises OSError, or RedisError where it is the queue server.
    """

    listing_s: float  # what is worth a look at all names of a folder: not more often than this

    def put(self, name: str, data: bytes) -> None: ...

    def get(self, name: str) -> bytes:
        """Raises NotStored."""

    def rename(self, name: str, to: str) -> None:
        """In one step, for those who read. Nothing where nothing has the name."""

    def delete(self, *names: str) -> None: ...

    def entries(self, folder: str) -> list[Entry]:
        """All names of a folder, the oldest first."""

    def memory_bytes(self) -> int:
        """What large results take of the queue server's memory; 0 where they lie elsewhere."""

    def make_room(self) -> int | None:
        """What is free on the disk, where accepted jobs have too little room to end though kept images gave way; None
        where they have enough, as always where the store is not on a disk of ours."""
