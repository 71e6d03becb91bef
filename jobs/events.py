"""Who waits for which job: one subscription per process, fanned out to all that wait in it.

Under gunicorn the threads and locks below are gevent's, so that thousands may wait.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from jobs.errors import QueueUnavailable
from jobs.job import JobRecord
from jobs.keys import DEFAULT_QUEUE, key

CHANNEL = "job:"
RECONNECT_PAUSE_S = 0.1
log = logging.getLogger(__name__)


def announce(client: Redis | Pipeline, job_id: str, queue_name: str = DEFAULT_QUEUE) -> None:
    """Tell those who wait that something happened to the job."""
    client.publish(key(queue_name, CHANNEL + job_id), b"")


class JobEvents:
    """Wakes those who wait for a job when something happened to it."""

    def __init__(self, client: Redis, queue_name: str = DEFAULT_QUEUE) -> None:
        self._client, self._channel = client, key(queue_name, CHANNEL)
        self._waiting: defaultdict[str, set[threading.Event]] = defaultdict(set)
        self._ending = False

    def start(self) -> None:
        """Subscribe; after a fork, never before."""
        threading.Thread(target=self._listen, name="job-events", daemon=True).start()

    def end_waits(self) -> None:
        """Let everybody who waits go, now and from now on: the service is being stopped."""
        self._ending = True
        self._wake_all()

    def wait(self, record: JobRecord, timeout_s: float, read: Callable[[str], JobRecord]) -> JobRecord:
        """The job's record once it has ended, or where it stands after `timeout_s`.

        A queue server that goes away meanwhile is waited for: the job is safe in it.
        """
        deadline = time.monotonic() + timeout_s
        with self.watching(record.id) as news:
            record = _read_again(record, read)  # what happened before we watched
            while not record.ended and not self._ending and (left := deadline - time.monotonic()) > 0:
                news.wait(left)
                news.clear()
                record = _read_again(record, read)
        return record

    @contextmanager
    def watching(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set at each news of the job, and whenever news may have been missed."""
        news = threading.Event()
        self._waiting[job_id].add(news)
        try:
            yield news
        finally:
            self._waiting[job_id].discard(news)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def _listen(self) -> None:
        while True:
            try:
                self._follow()
            except (RedisError, OSError) as error:
                log.info("subscription lost, trying again: %s", error)
                time.sleep(RECONNECT_PAUSE_S)

    def _follow(self) -> None:
        with self._client.pubsub() as subscription:
            subscription.psubscribe(self._channel + "*")
            for message in subscription.listen():
                if message["type"] == "psubscribe":
                    self._wake_all()  # what happened before was missed: all read again
                else:
                    self._wake(message["channel"].decode().removeprefix(self._channel))

    def _wake(self, job_id: str) -> None:
        for news in tuple(self._waiting.get(job_id, ())):
            news.set()

    def _wake_all(self) -> None:
        for job_id in tuple(self._waiting):
            self._wake(job_id)


def _read_again(last: JobRecord, read: Callable[[str], JobRecord]) -> JobRecord:
    try:
        return read(last.id)
    except QueueUnavailable:
        return last
