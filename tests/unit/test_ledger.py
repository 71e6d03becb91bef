"""RQ's own tools change jobs: what Punnet tells and counts of them stays right."""

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.registry import CanceledJobRegistry, FailedJobRegistry, StartedJobRegistry

from inference.errors import UnsupportedImage
from jobs.errors import JobNotFound
from jobs.images import Images
from jobs.keys import DEFAULT_QUEUE, key
from jobs.ledger import Ledger
from jobs.lifetimes import Lifetimes
from jobs.progress import note_progress
from jobs.queue import JobQueue
from jobs.store import RedisStore
from jobs.stores.contract import SPOOL
from jobs.turns import ACCEPTED_MS, CALLERS, COUNTS, ENDED_MS, make_queue
from tests.unit.conftest import REQUEST, start_running, work_off
from tests.unit.fake_predictors import FakePredictors
from tests.unit.images import photo


def rqs(redis: Redis) -> Queue:
    """The queue as RQ's tools open it, with their own serializer."""
    return Queue(DEFAULT_QUEUE, connection=redis)


def fetched(redis: Redis, job_id: str) -> Job:
    return Job.fetch(job_id, redis)


def audit(redis: Redis) -> None:
    Ledger(make_queue(redis), Images(RedisStore(redis)).delete).audit()


def counted(redis: Redis) -> tuple[int, dict[bytes, bytes], float, int]:
    """Jobs, sums of callers, backlog in ms, and bytes of images."""
    sums: Any = redis.mget(key(DEFAULT_QUEUE, ACCEPTED_MS), key(DEFAULT_QUEUE, ENDED_MS))
    accepted, ended = (float(found or 0) for found in sums)
    counts: Any = redis.hgetall(key(DEFAULT_QUEUE, COUNTS))
    jobs: Any = redis.hlen(key(DEFAULT_QUEUE, CALLERS))
    counts = {name: count for name, count in counts.items() if count != b"0"}
    return jobs, counts, accepted - ended, sum(entry.size_bytes for entry in RedisStore(redis).entries(SPOOL))


def no_heartbeats(redis: Redis) -> None:
    """What RQ's tools take for abandoned."""
    started = rqs(redis).started_job_registry.key
    entries: Any = redis.zrange(started, 0, -1)
    for entry in entries:
        redis.zadd(started, {entry: 1})


def give_up(redis: Redis, job_id: str) -> None:
    """As often as RQ tries."""
    start_running(redis, job_id)
    for _ in range(4):
        no_heartbeats(redis)
        StartedJobRegistry(queue=rqs(redis)).cleanup()
        if fetched(redis, job_id).is_queued:
            start_running(redis, job_id)


@pytest.mark.parametrize(("tool", "state"), [
    (lambda redis, job_id: fetched(redis, job_id).cancel(), "canceled"),
    (lambda redis, job_id: (start_running(redis, job_id), fetched(redis, job_id).cancel()), "canceled"),
    (give_up, "failed")])
def test_a_job_that_rqs_tools_ended_has_ended(queue: JobQueue, redis: Redis, tool: Callable, state: str) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    tool(redis, job_id)
    audit(redis)
    record = queue.read(job_id)
    assert (record.state, record.ended, record.completed_at is not None) == (state, True, True)
    assert counted(redis) == (0, {}, 0, 0)
    registry = {"canceled": CanceledJobRegistry, "failed": FailedJobRegistry}[state](queue=rqs(redis))
    assert registry.get_job_ids() == [job_id]
    audit(redis)
    assert queue.read(job_id) == record


@pytest.mark.parametrize("tool", [
    lambda redis, job_id: fetched(redis, job_id).delete(),
    lambda redis, job_id: (start_running(redis, job_id), fetched(redis, job_id).delete()),
    lambda redis, job_id: (start_running(redis, job_id), fetched(redis, job_id).delete(),
                           redis.hset(Job.key_for(job_id), "last_heartbeat", "late")),
    lambda redis, job_id: rqs(redis).empty()])
def test_a_job_that_rqs_tools_deleted_is_not_found_and_counted_no_more(queue: JobQueue, redis: Redis,
                                                                      tool: Callable) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    tool(redis, job_id)
    audit(redis)
    with pytest.raises(JobNotFound):
        queue.read(job_id)
    assert counted(redis) == (0, {}, 0, 0)
    assert redis.keys(f"*{job_id}*") == []


def test_who_waits_for_a_job_that_rqs_tools_ended_is_told(queue: JobQueue, redis: Redis) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    told = redis.pubsub()
    told.psubscribe("*")
    fetched(redis, job_id).cancel()
    audit(redis)
    channels = [message["channel"] for _ in range(3) if (message := told.get_message())]
    assert any(job_id.encode() in channel for channel in channels if isinstance(channel, bytes))


def test_a_job_that_lies_nowhere_is_queued_again(queue: JobQueue, redis: Redis) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    rqs(redis).remove(job_id)
    audit(redis)
    assert (queue.read(job_id).state, queue.read(job_id).queue_position) == ("queued", 1)
    work_off(redis)
    assert queue.read(job_id).state == "succeeded"


def test_a_job_that_waits_or_runs_is_left_as_it_is(queue: JobQueue, redis: Redis) -> None:
    running, taken, waiting = (queue.submit(REQUEST, photo()).id for _ in range(3))
    start_running(redis, running)
    redis.lmove(make_queue(redis).key, make_queue(redis).intermediate_queue_key)
    before = counted(redis)
    audit(redis)
    assert (counted(redis), before[0]) == (before, 3)
    assert [queue.read(job_id).state for job_id in (running, taken, waiting)] == ["processing", "queued", "queued"]


def test_sums_that_drifted_are_counted_anew(queue: JobQueue, redis: Redis) -> None:
    queue.submit(REQUEST, photo())
    before = counted(redis)
    redis.hset(key(DEFAULT_QUEUE, COUNTS), mapping={"bytes": 10**9, "gone jobs": 4})
    redis.incrbyfloat(key(DEFAULT_QUEUE, ENDED_MS), 9e9)
    audit(redis)
    assert counted(redis) == before


def test_a_requeued_job_whose_image_is_gone_ends_again_and_says_why(queue: JobQueue, redis: Redis,
                                                                    predictors: FakePredictors) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    predictors.answer = UnsupportedImage("it is a text")
    work_off(redis, predictors)
    rqs(redis).failed_job_registry.requeue(job_id)
    waiting = queue.read(job_id)
    assert (waiting.state, waiting.completed_at, waiting.outcome) == ("queued", None, None)
    work_off(redis, FakePredictors())
    audit(redis)
    record = queue.read(job_id)
    assert record.outcome is not None
    assert (record.state, "post the image again" in record.outcome.detail) == ("failed", True)
    assert counted(redis) == (0, {}, 0, 0)


def test_a_requeued_job_whose_image_is_there_runs_again(queue: JobQueue, redis: Redis) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    give_up(redis, job_id)
    rqs(redis).failed_job_registry.requeue(job_id)
    audit(redis)
    work_off(redis)
    audit(redis)
    assert queue.read(job_id).state == "succeeded"
    assert counted(redis) == (0, {}, 0, 0)


def test_a_requeued_job_is_not_over_before_it_has_ended_again(queue: JobQueue, redis: Redis,
                                                              predictors: FakePredictors) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    predictors.answer = UnsupportedImage("it is a text")
    work_off(redis, predictors)
    rqs(redis).failed_job_registry.requeue(job_id)
    uptime_s = [0.0]
    lifetimes = Lifetimes(make_queue(redis), lambda _: None, lambda: uptime_s[0])
    for uptime_s[0] in (1.0, 10_000.0):
        lifetimes.look()
    assert queue.read(job_id).state == "queued"


def test_why_a_job_failed_is_told_by_rqs_tools_too(queue: JobQueue, redis: Redis, predictors: FakePredictors) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    predictors.answer = UnsupportedImage("it is a text")
    work_off(redis, predictors)
    result = fetched(redis, job_id).latest_result()
    assert result is not None
    assert (result.type.name, result.exc_string) == ("FAILED", "UnsupportedImage: it is a text")


def test_a_late_note_of_progress_makes_no_job(queue: JobQueue, redis: Redis) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    execution = start_running(redis, job_id)
    fetched(redis, job_id).delete()
    note_progress(make_queue(redis), job_id, execution.id, 3)
    assert redis.keys(f"rq:job:{job_id}") == []
