import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import fakeredis
import pytest
from redis import Redis
from redis.client import PubSub

from jobs.errors import JobNotFound, QueueUnavailable
from jobs.events import JobEvents, announce
from jobs.job import JobRecord, State

LONG_S = 60.0
PATIENCE_S = 20.0


def record(state: State) -> JobRecord:
    return JobRecord("a", state, "leaf", datetime.now(UTC))


class Job:
    """A job to read; tells when somebody has read it."""

    def __init__(self) -> None:
        self.current, self.was_read, self.away = record("queued"), threading.Event(), False

    def read(self, job_id: str) -> JobRecord:
        found, away = self.current, self.away
        self.was_read.set()
        if away:
            raise QueueUnavailable("away")
        return found

    def wait_until_read_again(self) -> None:
        self.was_read.clear()
        assert self.was_read.wait(PATIENCE_S)


class Waiting:
    """`wait` in a thread of its own."""

    def __init__(self, events: JobEvents, job: Job) -> None:
        self._found: list[JobRecord] = []
        first = record("queued")
        self._thread = threading.Thread(target=lambda: self._found.append(events.wait(first, LONG_S, job.read)))
        self._thread.start()
        assert job.was_read.wait(PATIENCE_S)

    def result(self) -> JobRecord:
        self._thread.join(PATIENCE_S)
        assert self._found, "still waiting"
        return self._found[0]


class Counting(fakeredis.FakeRedis):
    """Counts the subscriptions that were tried."""

    attempts = 0

    def pubsub(self, **options: Any) -> PubSub:
        self.attempts += 1
        return super().pubsub(**options)


@pytest.fixture
def events(server: fakeredis.FakeServer) -> Iterator[JobEvents]:
    events = JobEvents(fakeredis.FakeRedis(server=server))
    events.start()
    yield events
    events.end_waits()


def announce_until(redis: Redis, seen: Callable[[], bool]) -> None:
    """The subscription may come up later than the first word."""
    until = time.monotonic() + PATIENCE_S
    while not seen() and time.monotonic() < until:
        announce(redis, "a")
        time.sleep(0.01)


def test_the_end_of_a_job_ends_the_wait(events: JobEvents, redis: Redis) -> None:
    job = Job()
    waiting = Waiting(events, job)
    job.current = record("succeeded")
    announce(redis, "a")
    assert waiting.result().state == "succeeded"


def test_all_who_wait_are_woken(events: JobEvents, redis: Redis) -> None:
    jobs = [Job() for _ in range(5)]
    waits = [Waiting(events, job) for job in jobs]
    for job in jobs:
        job.current = record("failed")
    announce(redis, "a")
    assert [waiting.result().state for waiting in waits] == ["failed"] * 5


def test_news_that_are_no_end_go_on_waiting(events: JobEvents, redis: Redis) -> None:
    job = Job()
    waiting = Waiting(events, job)
    job.current = record("processing")
    job.was_read.clear()
    announce_until(redis, job.was_read.is_set)
    job.current = record("succeeded")
    announce(redis, "a")
    assert waiting.result().state == "succeeded"


def test_an_ended_job_is_not_waited_for(events: JobEvents) -> None:
    job = Job()
    job.current = record("canceled")
    assert events.wait(record("queued"), LONG_S, job.read).state == "canceled"


@pytest.mark.parametrize("timeout_s", [0, 0.05])
def test_the_wait_ends_in_time_with_where_the_job_stands(events: JobEvents, timeout_s: float) -> None:
    began = time.monotonic()
    assert events.wait(record("queued"), timeout_s, Job().read).state == "queued"
    assert timeout_s <= time.monotonic() - began < PATIENCE_S


def test_an_end_that_nobody_announced_is_seen_at_the_timeout(events: JobEvents) -> None:
    states = iter([record("queued"), *[record("succeeded")] * 3])
    assert events.wait(record("queued"), 0.05, lambda _: next(states)).state == "succeeded"


def test_the_end_of_waits_lets_everybody_go_now_and_from_now_on(events: JobEvents) -> None:
    job = Job()
    waiting = Waiting(events, job)
    events.end_waits()
    assert waiting.result().state == "queued"
    assert events.wait(record("queued"), LONG_S, job.read).state == "queued"


def test_a_queue_server_that_goes_away_is_waited_for(events: JobEvents, redis: Redis) -> None:
    job = Job()
    waiting = Waiting(events, job)
    job.away = True
    job.was_read.clear()
    announce_until(redis, job.was_read.is_set)
    job.current, job.away = record("succeeded"), False
    announce(redis, "a")
    assert waiting.result().state == "succeeded"


def test_a_job_that_is_not_there_is_told_at_once(events: JobEvents) -> None:
    def absent(job_id: str) -> JobRecord:
        raise JobNotFound(job_id)

    with pytest.raises(JobNotFound):
        events.wait(record("queued"), LONG_S, absent)


def test_the_subscription_comes_back_and_all_read_again(redis: Redis, server: fakeredis.FakeServer) -> None:
    """What was announced while it was away was missed."""
    server.connected = False
    client = Counting(server=server, max_connections=2)
    events, job = JobEvents(client), Job()
    waiting = Waiting(events, job)
    job.current = record("succeeded")
    events.start()
    deadline = time.monotonic() + PATIENCE_S
    while client.attempts < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    server.connected = True
    assert waiting.result().state == "succeeded"
    assert client.attempts >= 5
