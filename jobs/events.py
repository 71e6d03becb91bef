"""News of jobs: one subscription per process, fanned out to all who want to know.

Under gunicorn the threads and locks below are gevent's.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis import Redis
from redis.client import Pipeline, PubSub
from redis.connection import AbstractConnection
from redis.exceptions import RedisError
from rq.job import Job

from jobs.keys import DEFAULT_QUEUE, key

CHANNEL = "job:"
CHANGES = "punnet_changes"  # a field of the job's hash: how often something has happened to the job
RECONNECT_PAUSE_S = 0.1
# A link that is cut without a word looks like one on which nothing happens: after so many seconds the server is asked
# whether it is there, and is given as many to answer.
SILENCE_S = 5.0
Hear = Callable[[], None]
log = logging.getLogger(__name__)


def announce(pipeline: Pipeline, job_id: str, queue_name: str) -> None:
    """Count that something happened to the job, and tell those who want to know: in the transaction that does it."""
    pipeline.hincrby(Job.key_for(job_id), CHANGES, 1)
    pipeline.publish(channel(queue_name, job_id), b"")


def channel(queue_name: str, job_id: str) -> str:
    """On which channel there is news of a job."""
    return key(queue_name, CHANNEL + job_id)


class JobEvents:
    """Tells who wants to know that something happened to a job."""

    def __init__(self, client: Redis, queue_name: str = DEFAULT_QUEUE) -> None:
        self._client, self._channel = client, channel(queue_name, "")
        self._hearing: defaultdict[str, set[Hear]] = defaultdict(set)
        self._subscription: PubSub | None = None
        self._has_heard = self._is_away = False

    def start(self) -> None:
        """Subscribe; after a fork, never before."""
        threading.Thread(target=self._listen, name="job-events", daemon=True).start()
        threading.Thread(target=self._doubt, name="job-events-doubt", daemon=True).start()

    @contextmanager
    def watching(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set at each news of the job, and whenever news may have been missed."""
        news = threading.Event()
        self.hear(job_id, news.set)
        try:
            yield news
        finally:
            self.leave(job_id, news.set)

    def hear(self, job_id: str, hear: Hear) -> None:
        """Call `hear` at each news of the job, and whenever news may have been missed, until `leave`."""
        self._hearing[job_id].add(hear)

    def leave(self, job_id: str, hear: Hear) -> None:
        self._hearing[job_id].discard(hear)
        if not self._hearing[job_id]:
            del self._hearing[job_id]

    def _listen(self) -> None:
        while True:
            try:
                self._follow()
            except (RedisError, OSError) as error:
                if not self._is_away:  # once, and not ten times a second
                    log.warning("no news of jobs until the queue server is back: %s", error)
                self._is_away = True
                time.sleep(RECONNECT_PAUSE_S)

    def _follow(self) -> None:
        """A read with a time limit costs twice as much of the event loop as one without: `_doubt` ends a silent one."""
        with self._client.pubsub() as self._subscription:
            self._subscription.psubscribe(self._channel + "*")
            for message in self._subscription.listen():
                self._has_heard = True
                if message["type"] == "psubscribe":
                    self._begin()
                elif message["type"] == "pmessage":
                    self._tell(message["channel"].decode().removeprefix(self._channel))

    def _begin(self) -> None:
        """What happened before was missed: all look again."""
        if self._is_away:
            log.warning("the queue server is back: there is news of jobs again")
        self._is_away = False
        self._tell_all()

    def _doubt(self) -> None:
        """Ask a server that says nothing whether it is there, and cut one off that does not answer."""
        asked: AbstractConnection | None = None
        while True:
            time.sleep(SILENCE_S)
            subscription, has_heard, self._has_heard = self._subscription, self._has_heard, False
            try:
                asked = None if has_heard or subscription is None else _ask(subscription, asked)
            except (RedisError, OSError) as error:
                log.debug("the subscription ended just now: %s", error)

    def _tell(self, job_id: str) -> None:
        for hear in tuple(self._hearing.get(job_id, ())):
            hear()

    def _tell_all(self) -> None:
        for job_id in tuple(self._hearing):
            self._tell(job_id)


def _ask(subscription: PubSub, asked: AbstractConnection | None) -> AbstractConnection | None:
    """The connection on which an answer is waited for; one that was `asked` before is cut off."""
    connection = subscription.connection
    if connection is not None and connection is asked:
        log.info("the queue server says nothing for %g s", SILENCE_S)
        connection.disconnect()
        return None
    if connection is not None:
        subscription.ping()
    return connection
