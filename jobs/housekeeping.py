"""Housekeeping: whatever jobs leave behind has an end, in the store and in RQ's own lists."""

import logging
import time
from collections.abc import Callable, Collection, Sequence

from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job
from rq.registry import CanceledJobRegistry
from rq.worker_registration import clean_worker_registry

from jobs.index import sweep_index
from jobs.keys import key
from jobs.lifetimes import Gone
from jobs.stores.contract import ENDED, RESULTS, SPOOL, Entry, Store
from settings import MEGA, Settings

KEPT_SHARE = 4  # images of ended jobs may take a quarter of what those of waiting ones may
SWEEP_S = 60.0
# By the store's clock. It lies between the storing of an image and its job's acceptance, which takes a second at most.
LEFTOVER_S = 300
INDEX_SWEEP_S = 3600.0
PAUSE_S = 30.0  # after trouble with the store, which each time may cost the pool seconds
SWEPT = "swept:"
WITHOUT_RESULT = (b"failed", b"canceled")
ENDS = (b"finished", *WITHOUT_RESULT)
log = logging.getLogger(__name__)


def most_kept_bytes(settings: Settings) -> int:
    """What images of ended jobs may take together."""
    return int(settings.queue_max_mb * MEGA / KEPT_SHARE)


class Housekeeping:
    """A pool's part in it. Of all pools one does each work in its time: a key in the queue server says that it was
    done."""

    def __init__(self, queue: Queue, store: Store, max_kept_bytes: int,
                 now: Callable[[], float] = time.monotonic) -> None:
        self._queue, self._client, self._store, self._max_kept_bytes = queue, queue.connection, store, max_kept_bytes
        self._now, self._not_before, self._looked_at = now, float("-inf"), dict[str, float]()

    def make_room(self) -> int | None:
        """As the store's own. Raises OSError."""
        return self._store.make_room()

    def forget(self, jobs: Sequence[Gone]) -> None:
        """The time of these jobs is over. What a store that is away keeps is swept later."""
        names = [f"{ENDED}/{job.job_id}" for job in jobs if job.succeeded]
        names += [job.place.name for job in jobs if job.place]
        self._in_store(lambda: self._store.delete(*names))

    def delete_images(self, job_id: str) -> None:
        """The job has ended past Punnet's code."""
        self._in_store(lambda: self._store.delete(f"{SPOOL}/{job_id}", f"{ENDED}/{job_id}"))

    def look(self) -> None:
        """To be called each second. Raises RedisError."""
        if self._is_due("images", self._store.listing_s):
            self._in_store(self.prune)
        if self._is_due("all", SWEEP_S):
            self._clean_registries()
            self._in_store(self.sweep)
        if self._is_due("index", INDEX_SWEEP_S):
            sweep_index(self._queue)

    def prune(self) -> None:
        """Delete the oldest images of ended jobs, where all together are too much."""
        entries = self._store.entries(ENDED)
        excess, too_many = sum(entry.size_bytes for entry in entries) - self._max_kept_bytes, list[str]()
        for entry in entries:
            if excess <= 0:
                break
            too_many.append(f"{ENDED}/{entry.name}")
            excess -= entry.size_bytes
        self._store.delete(*too_many)

    def sweep(self) -> None:
        """Delete what a crash left: images whose job has ended or was never accepted, and what belongs to no job."""
        self._sweep(SPOOL, (None, *ENDS))
        self._sweep(ENDED, (None, *WITHOUT_RESULT))
        self._sweep(RESULTS, (None,))

    def _sweep(self, folder: str, orphaned: Collection[bytes | None]) -> None:
        """Delete old entries whose job has such a status."""
        old = [entry for entry in self._store.entries(folder) if entry.age_s >= LEFTOVER_S]
        with self._client.pipeline(transaction=False) as pipeline:
            for entry in old:
                pipeline.hget(Job.key_for(_job_id(entry)), "status")
            statuses = pipeline.execute()
        self._store.delete(*(f"{folder}/{entry.name}" for entry, status in zip(old, statuses, strict=True)
                             if status in orphaned))

    def _clean_registries(self) -> None:
        """RQ's own lists, of what nobody deleted in its time: jobs a day later, workers that were killed."""
        self._queue.finished_job_registry.cleanup()
        self._queue.failed_job_registry.cleanup()
        self._client.zremrangebyscore(CanceledJobRegistry(queue=self._queue).key, 0, time.time())
        clean_worker_registry(self._queue)

    def _is_due(self, work: str, each_s: float) -> bool:
        if self._now() - self._looked_at.get(work, float("-inf")) < each_s:
            return False
        self._looked_at[work] = self._now()
        return bool(self._client.set(key(self._queue.name, SWEPT + work), 1, nx=True, px=int(each_s * 1000)))

    def _in_store(self, call: Callable[[], None]) -> None:
        """A store that is away hinders nothing else."""
        if self._now() < self._not_before:
            return
        try:
            call()
        except (OSError, RedisError) as error:
            self._not_before = self._now() + PAUSE_S
            log.warning("nothing is deleted in the store for %g s: %s", PAUSE_S, error)


def _job_id(entry: Entry) -> str:
    """Names begin with the job's, whatever follows."""
    return entry.name.partition(".")[0]
