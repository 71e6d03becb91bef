"""Who follows which job in this process: however many follow a job, it is read once for all of them.

Under gunicorn the threads and locks below are gevent's, so that thousands may follow.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from jobs.errors import QueueUnavailable
from jobs.events import JobEvents
from jobs.job import JobRecord
from jobs.records import Records

AT_ONCE = 100  # jobs that are read in one round trip; more would hold up the event loop
LOOK_S = 15.0  # between two looks whether a caller who waits has hung up
RETRY_S = 0.5  # between two tries to read while the queue server is away
log = logging.getLogger(__name__)


@dataclass(eq=False)
class Followed:
    """A job that somebody follows. `record` is what was read last. `is_left` says that nobody is to wait any longer:
    there is no such job any more, or the service is being stopped. `look_again` has the job read again, whether or not
    there is news of it."""

    record: JobRecord
    look_again: Callable[[], None]
    is_left: bool = False
    followers: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    _changed: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.record.ended or self.is_left

    def tell(self, record: JobRecord) -> None:
        """Take over what was read, and wake the followers where it is something new."""
        if _is_newer(record, self.record):
            self.record = record
            self._wake()

    def leave(self) -> None:
        """Nobody is to wait any longer."""
        self.is_left = True
        self._wake()

    def wait_beyond(self, record: JobRecord, timeout_s: float) -> None:
        """Wait until there is another record than this one."""
        changed = self._changed  # before the look at the record: what changes after it is not missed
        if self.record is record and not self.is_left:
            changed.wait(timeout_s)

    def _wake(self) -> None:
        """Wake who waits now; who comes later waits for the next change."""
        woken, self._changed = self._changed, threading.Event()
        woken.set()


class Following:
    """The jobs that are followed in this process, and the one reader that keeps them up to date."""

    def __init__(self, events: JobEvents, records: Records) -> None:
        self._events, self._records = events, records
        self._followed: dict[str, Followed] = {}
        self._stale: set[str] = set()
        self._wanted = threading.Event()
        self._is_ending = False

    def start(self) -> None:
        """Begin to read; after a fork, never before."""
        threading.Thread(target=self._keep_reading, name="job-reader", daemon=True).start()

    def end(self) -> None:
        """Let everybody who follows go, now and from now on: the service is being stopped."""
        self._is_ending = True
        for followed in tuple(self._followed.values()):
            followed.leave()

    @contextmanager
    def follow(self, record: JobRecord) -> Iterator[Followed]:
        """The job of this record, for as long as the block lasts."""
        followed = self._followed.get(record.id) or self._begin(record)
        followed.followers += 1
        followed.tell(record)
        try:
            yield followed
        finally:
            followed.followers -= 1
            if not followed.followers:
                del self._followed[record.id]
                self._events.leave(record.id, followed.look_again)

    def wait(self, record: JobRecord, timeout_s: float, is_wanted: Callable[[], bool] = lambda: True) -> JobRecord:
        """The job's record once it has ended, or what is known of it after `timeout_s`, or soon after nobody wants it
        any more.

        A queue server that goes away meanwhile is waited for: the job is safe in it.

        Raises:
            JobExpired, QueueUnavailable: the job has ended, and its result cannot be read.
        """
        until = time.monotonic() + timeout_s
        with self.follow(record) as followed:
            while not followed.is_over and (left_s := until - time.monotonic()) > 0 and is_wanted():
                followed.wait_beyond(followed.record, min(left_s, LOOK_S))
            return self.with_result(followed, until)

    def with_result(self, followed: Followed, until: float = float("inf")) -> JobRecord:
        """The record with its result, which is read once for all who follow the job; tried again until then, by
        time.monotonic, while the queue server is away.

        Raises:
            JobExpired, QueueUnavailable.
        """
        while True:
            try:
                with followed.lock:
                    followed.record = self._records.with_result(followed.record)
                return followed.record
            except QueueUnavailable:
                if followed.is_left or time.monotonic() + RETRY_S > until:
                    raise
                time.sleep(RETRY_S)

    def _begin(self, record: JobRecord) -> Followed:
        """The job is read again at once: something may have happened to it since it was read for this record."""
        followed = Followed(record, partial(self._want, record.id), self._is_ending)
        self._followed[record.id] = followed
        self._events.hear(record.id, followed.look_again)
        followed.look_again()
        return followed

    def _want(self, job_id: str) -> None:
        self._stale.add(job_id)
        self._wanted.set()

    def _keep_reading(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            while self._stale:
                self._read([self._stale.pop() for _ in range(min(AT_ONCE, len(self._stale)))])

    def _read(self, ids: list[str]) -> None:
        try:
            for job_id, record in zip(ids, self._records.read_many(ids), strict=True):
                self._tell(job_id, record)
        except QueueUnavailable:
            self._stale.update(ids)
            time.sleep(RETRY_S)
        except Exception:  # the others are to be read all the same
            log.exception("%d jobs cannot be read", len(ids))

    def _tell(self, job_id: str, record: JobRecord | None) -> None:
        followed = self._followed.get(job_id)
        if followed is not None and record is None:
            followed.leave()
        elif followed is not None and record is not None:
            followed.tell(record)


def _is_newer(read: JobRecord, known: JobRecord) -> bool:
    """RQ's own tools change a job's state without a word."""
    return read.changes > known.changes or (read.changes == known.changes and read.state != known.state)
