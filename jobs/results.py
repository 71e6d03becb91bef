"""Where results of succeeded jobs lie: small ones in the queue server, large ones in the store, beside the images."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from redis.exceptions import RedisError

from jobs.errors import JobExpired, NotStored, QueueFull
from jobs.stores.contract import RESULTS, Store
from settings import MEGA

# A result of more bytes lies in the store: masks, tensors and images do, lists of boxes seldom.
LARGE_BYTES = 1 << 16
MAX_RESULT_BYTES = 200_000_000  # the queue server takes no value of 512 MB
log = logging.getLogger(__name__)
MARK = b"stored"  # no JSON begins so
PLACE_BYTES = 200  # of what says where a result lies, at most


@dataclass(frozen=True)
class Place:
    """Where a large result lies in the store. What is kept in the queue server instead of it is `written`."""

    name: str
    size_bytes: int

    @property
    def written(self) -> bytes:
        return b"%s %d %s" % (MARK, self.size_bytes, self.name.encode())

    @classmethod
    def read(cls, written: bytes) -> "Place | None":
        """None where the result itself was written."""
        if not written.startswith(MARK):
            return None
        _, size, name = written.split(b" ")
        return cls(name.decode(), int(size))


class Results:
    """Large results. Each has a name that is drawn for it, so that an execution that ends too late overwrites
    nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, job_id: str, result: bytes) -> bytes:
        """What the end of the job is to bear: the result, or where it lies from now on. One that is too large to keep
        at all is left as it is; whoever ends the job refuses it.

        Raises:
            OSError, RedisError.
        """
        if not LARGE_BYTES < len(result) <= MAX_RESULT_BYTES:
            return result
        place = Place(f"{RESULTS}/{job_id}.{uuid.uuid4().hex}", len(result))
        self._store.put(place.name, result)
        return place.written

    def drop(self, written: bytes) -> None:
        """The job was ended by somebody else. What a store that is away keeps is swept with the job."""
        if place := Place.read(written):
            try:
                self._store.delete(place.name)
            except (OSError, RedisError) as error:
                log.warning("the result %s of nobody stays for now: %s", place.name, error)

    def get(self, job_id: str, place: Place) -> bytes:
        """Raises JobExpired where somebody emptied the store."""
        try:
            return self._store.get(place.name)
        except NotStored as error:
            raise JobExpired(f"the result of job {job_id} is gone from the store; post the image again") from error

    def whole(self, job_id: str, written: bytes) -> bytes:
        """A result as `put` gave it, in full. Raises JobExpired."""
        place = Place.read(written)
        return written if place is None else self.get(job_id, place)

    def check_room(self, max_mb: float, first_over_s: Callable[[], float]) -> None:
        """Raises QueueFull where the queue server has all large results in its memory that it is to have there."""
        if (kept := self._store.memory_bytes()) > max_mb * MEGA:
            raise QueueFull(f"large results of ended jobs fill {kept / MEGA:.0f} of {max_mb:g} MB of the queue server "
                            "(PUNNET_QUEUE_MAX_MB), until their time is over (PUNNET_RESULT_TTL_S); "
                            "with PUNNET_STORE they lie elsewhere", max(1.0, first_over_s()))
