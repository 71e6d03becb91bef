"""Jobs are dated, and deadlines decided, by the queue server's clock, whatever the machines' clocks show."""

import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from redis import Redis

from jobs.queue import JobQueue
from tests.unit.conftest import REQUEST, start_running, work_off
from tests.unit.images import photo

AHEAD_S = 5000.0


@pytest.fixture(autouse=True)
def server_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """The server's clock is far ahead of this machine's."""
    clock = SimpleNamespace(time=lambda: time.time() + AHEAD_S)
    monkeypatch.setattr("fakeredis.commands_mixins.server_mixin.time", clock)
    return clock.time


def test_times_of_a_job_are_the_servers(queue: JobQueue, redis: Redis, server_clock: Callable[[], float]) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis)
    record = queue.read(job_id)
    assert record.started_at is not None
    assert record.completed_at is not None
    for moment in (record.created_at, record.started_at, record.completed_at):
        assert moment.timestamp() == pytest.approx(server_clock(), abs=60)


def test_what_is_left_of_a_running_job_does_not_go_by_this_machines_clock(queue: JobQueue, redis: Redis) -> None:
    record = queue.submit(replace(REQUEST, predicted_ms=60_000), photo())
    start_running(redis, record.id)
    eta_s = queue.read(record.id).eta_s
    assert eta_s is not None
    assert 50 < eta_s <= 60


def test_a_deadline_is_kept_between_machines_of_different_clocks(queue: JobQueue, redis: Redis) -> None:
    in_time = queue.submit(replace(REQUEST, deadline_s=30), photo()).id
    work_off(redis)
    assert queue.read(in_time).state == "succeeded"
