"""A job is accepted wholly or not at all, whatever becomes of the queue server meanwhile."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import fakeredis
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as QueueServerAway
from redis.exceptions import OutOfMemoryError, TimeoutError

from jobs import acceptance, doubts
from jobs.errors import JobNotFound, QueueUnavailable
from jobs.queue import JobQueue
from tests.unit.conftest import REQUEST, start_running
from tests.unit.images import photo

PATIENCE_S = 10


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "RETRY_S", 0.01)


def until(seen: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def left(redis: Redis) -> list[bytes]:
    """Keys that tell of a job."""
    found: Any = redis.keys("*")
    return [name for name in found if name not in (b"rq:queues", b"punnet:counts", b"punnet:turns", b"punnet:numbered",
                                                   b"punnet:accepted-ms", b"punnet:ended-ms")]


def submit(queue: JobQueue) -> None:
    queue.submit(REQUEST, photo())


def promote(queue: JobQueue) -> None:
    queue.promote(REQUEST, photo(), "web.1")


@pytest.fixture(params=[submit, promote])
def post(request: pytest.FixtureRequest) -> Callable[[JobQueue], None]:
    return request.param


def test_what_reaches_the_queue_server_after_its_caller_gave_up_is_not_accepted(
        queue: JobQueue, redis: Redis, post: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a server that was frozen meanwhile."""
    monkeypatch.setattr(acceptance, "TAKEN_WITHIN_S", -0.1)
    with pytest.raises(QueueUnavailable):
        post(queue)
    until(lambda: left(redis) == [])


@pytest.mark.parametrize("error", [OutOfMemoryError("command not allowed"), QueueServerAway("killed"),
                                   TimeoutError("frozen")])
@pytest.mark.parametrize("written", [True, False])
def test_a_job_whose_acceptance_went_wrong_is_taken_back(queue: JobQueue, redis: Redis, post: Callable,
                                                         monkeypatch: pytest.MonkeyPatch, error: Exception,
                                                         written: bool) -> None:
    """It may have been accepted all the same, with its answer lost."""
    write = acceptance.write

    def lost(*given: Any) -> None:
        if written:
            write(*given)
        raise error

    monkeypatch.setattr(acceptance, "write", lost)
    with pytest.raises(QueueUnavailable):
        post(queue)
    until(lambda: left(redis) == [])
    monkeypatch.setattr(acceptance, "write", write)
    assert queue.submit(REQUEST, photo()).eta_s == 0.1


def test_it_is_taken_back_once_the_server_answers_again(queue: JobQueue, redis: Redis, server: fakeredis.FakeServer,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    write = acceptance.write

    def killed(*given: Any) -> None:
        write(*given)
        server.connected = False
        raise QueueServerAway("killed")

    monkeypatch.setattr(acceptance, "write", killed)
    for _ in range(2):
        server.connected = True
        with pytest.raises(QueueUnavailable):
            queue.submit(REQUEST, photo())
    time.sleep(0.03)
    server.connected = True
    # An image whose deletion met a server that is away is for the sweep.
    until(lambda: [name for name in left(redis) if b":store:" not in name] == [])


def test_a_promoted_job_that_cannot_be_registered_is_taken_back(queue: JobQueue, redis: Redis,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> bool:
        raise QueueServerAway("killed")

    monkeypatch.setattr(acceptance, "begin", away)
    with pytest.raises(QueueUnavailable):
        promote(queue)
    until(lambda: left(redis) == [])


def test_a_job_that_runs_already_is_called_off_when_it_is_taken_back(queue: JobQueue, redis: Redis) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    start_running(redis, job_id)
    queue._acceptance._take_back(job_id)
    with pytest.raises(JobNotFound):
        queue.read(job_id)
    assert [name for name in left(redis) if job_id.encode() in name] == []


def test_a_promoted_job_is_recovered_from_the_first_moment(queue: JobQueue, redis: Redis,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its acceptance and its registration it is where a worker's job is that was just taken."""
    monkeypatch.setattr(acceptance, "begin", lambda *_: False)
    monkeypatch.setattr(acceptance.Doubts, "add", lambda *_: None)
    with pytest.raises(QueueUnavailable):
        promote(queue)
    assert redis.llen("rq:queue:punnet:intermediate") == 1


def test_a_job_comes_before_what_other_callers_wait_for(queue: JobQueue) -> None:
    for _ in range(4):
        queue.submit(replace(REQUEST, caller="a", predicted_ms=1000), photo())
    record = queue.submit(replace(REQUEST, caller="b", predicted_ms=1000), photo())
    assert (record.queue_position, record.eta_s) == (2, pytest.approx(2, abs=0.3))  # seconds of one worker
