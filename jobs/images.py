"""The images of jobs, in the store: of those that wait or run, and of those that succeeded while there is room."""

import logging
from collections.abc import Callable

from redis.exceptions import RedisError

from jobs.errors import ImageLost, NotStored
from jobs.stores.contract import ENDED, SPOOL, Store

log = logging.getLogger(__name__)


class Images:
    """One image for each job. It stays where it is until its job has ended; then it goes, or is kept for drawings."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, job_id: str, image: bytes) -> None:
        self._store.put(f"{SPOOL}/{job_id}", image)

    def get(self, job_id: str) -> bytes:
        """Whether the job has ended or not: in the moment between, its image only moves on.

        Raises:
            ImageLost.
        """
        for folder in (SPOOL, ENDED):
            try:
                return self._store.get(f"{folder}/{job_id}")
            except NotStored:
                continue
        raise ImageLost(f"the stored image of job {job_id} is gone")

    def delete(self, job_id: str) -> None:
        """The job has ended, and nothing can be drawn on its image."""
        _tidy(job_id, lambda: self._store.delete(f"{SPOOL}/{job_id}", f"{ENDED}/{job_id}"))

    def keep(self, job_id: str) -> None:
        """The job has succeeded: its result can be drawn on its image."""
        _tidy(job_id, lambda: self._store.rename(f"{SPOOL}/{job_id}", f"{ENDED}/{job_id}"))


def _tidy(job_id: str, call: Callable[[], None]) -> None:
    """The job has ended, whatever becomes of its image: what a store that is away keeps is swept later."""
    try:
        call()
    except (OSError, RedisError) as error:
        log.warning("the image of job %s stays where it is for now: %s", job_id, error)
