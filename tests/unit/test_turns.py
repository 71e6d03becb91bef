"""Callers take turns in the queue, and each has a share of it."""

import random
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from jobs import turns as turns_module
from jobs.errors import NotInTime, QueueFull
from jobs.keys import DEFAULT_QUEUE, key
from jobs.queue import JobQueue
from jobs.recovery import requeue
from jobs.store import RedisStore
from jobs.turns import make_queue
from settings import Settings
from tests.unit.conftest import REQUEST, MakeSettings, start_running, work_off
from tests.unit.images import photo

CALLERS, COUNTS, TURNS, *_ = (key(DEFAULT_QUEUE, name) for name in turns_module.NAMES)


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(job_workers=1)


def submit(queue: JobQueue, callers: str) -> list[str]:
    """A job for each letter; returns what they are called by."""
    return [queue.submit(replace(REQUEST, caller=caller), photo()).id for caller in callers]


def order(redis: Redis) -> str:
    """Whose jobs wait, from the head."""
    callers: Any = redis.hgetall(CALLERS)
    return "".join(chr(callers[job_id][0]) for job_id in waiting(redis))


def waiting(redis: Redis) -> list[bytes]:
    found: Any = redis.lrange(make_queue(redis).key, 0, -1)
    return found


@pytest.mark.parametrize(("submitted", "expected"), [
    ("aaa", "aaa"), ("aaaab", "abaaa"), ("aaaabb", "ababaa"), ("aaaabbc", "abcabaa"), ("abab", "abab"),
    ("aabbbb", "ababbb")])
def test_callers_take_turns(queue: JobQueue, redis: Redis, submitted: str, expected: str) -> None:
    submit(queue, submitted)
    assert order(redis) == expected


def test_the_jobs_of_one_caller_keep_their_order(queue: JobQueue, redis: Redis) -> None:
    ids = submit(queue, "aabab")
    queued = waiting(redis)
    for caller in "ab":
        places = [queued.index(job_id.encode()) for job_id, whose in zip(ids, "aabab", strict=True) if whose == caller]
        assert places == sorted(places)


def test_place_and_estimate_of_a_job_are_those_of_its_turn(queue: JobQueue) -> None:
    submit(queue, "aaaaaaaaaa")
    [job_id] = submit(queue, "b")
    record, patient = queue.read(job_id), queue.read(submit(queue, "a")[0])
    assert (record.queue_position, patient.queue_position) == (2, 12)
    assert record.eta_s is not None
    assert patient.eta_s is not None
    assert patient.eta_s == pytest.approx(1.2)
    assert record.eta_s < patient.eta_s


def test_a_deadline_is_measured_by_the_jobs_before_it(queue: JobQueue) -> None:
    for _ in range(3):
        queue.submit(replace(REQUEST, caller="a", predicted_ms=60_000), photo())
    with pytest.raises(NotInTime):
        queue.submit(replace(REQUEST, caller="a", deadline_s=90), photo())
    assert queue.submit(replace(REQUEST, caller="b", deadline_s=90), photo()).queue_position == 2


def test_turns_go_on_while_jobs_run(queue: JobQueue, redis: Redis) -> None:
    for job_id in submit(queue, "aaaaaa")[:3]:
        start_running(redis, job_id, f"pool.{job_id}")
    submit(queue, "bba")
    assert order(redis) == "ababaa"


@pytest.mark.parametrize("seed", range(5))
def test_every_jobs_place_is_that_of_its_turn(queue: JobQueue, redis: Redis, seed: int) -> None:
    drawn = random.Random(seed)
    submit(queue, "".join(drawn.choice("aaaabc") for _ in range(40)))
    turns: Any = redis.hgetall(TURNS)
    along = [int(turns[job_id]) for job_id in waiting(redis)]
    assert along == sorted(along)
    for caller in "abc":
        own = [turn for turn, whose in zip(along, order(redis), strict=True) if whose == caller]
        assert len(set(own)) == len(own)


def test_what_is_requeued_goes_to_the_head(queue: JobQueue, redis: Redis) -> None:
    first, *_ = submit(queue, "aab")
    execution = start_running(redis, first)
    requeue(make_queue(redis), first, execution.id, blame=False)
    assert redis.lindex(make_queue(redis).key, 0) == first.encode()


def test_a_caller_alone_may_fill_the_queue_and_still_leaves_room_for_another(redis: Redis,
                                                                            make_settings: MakeSettings) -> None:
    queue = JobQueue(redis, RedisStore(redis), make_settings(queue_max_jobs=4))
    submit(queue, "aaaa")
    with pytest.raises(QueueFull, match="4 jobs wait already, 4 of them yours"):
        submit(queue, "a")
    submit(queue, "bb")
    with pytest.raises(QueueFull, match="2 of them yours"):
        submit(queue, "b")
    assert order(redis) == "ababaa"


def test_a_callers_images_leave_room_for_anothers(redis: Redis, make_settings: MakeSettings) -> None:
    queue = JobQueue(redis, RedisStore(redis), make_settings(queue_max_mb=0.01))

    def send(caller: str, size: int) -> None:
        queue.submit(replace(REQUEST, caller=caller), bytes(size))

    send("a", 9_000)
    with pytest.raises(QueueFull, match="PUNNET_QUEUE_MAX_MB"):
        send("a", 2_000)
    send("b", 4_000)
    with pytest.raises(QueueFull, match="PUNNET_QUEUE_MAX_MB"):
        send("b", 2_000)


def test_whose_a_job_was_is_forgotten_when_it_has_ended(queue: JobQueue, redis: Redis) -> None:
    submit(queue, "ab")
    canceled = submit(queue, "a")[0]
    queue.cancel(canceled)
    queue.cancel(canceled)
    assert redis.hgetall(COUNTS) == {b"a jobs": b"1", b"b jobs": b"1", b"a bytes": _bytes(1), b"b bytes": _bytes(1),
                                     b"bytes": _bytes(2)}
    work_off(redis)
    assert (redis.hlen(CALLERS), redis.hgetall(COUNTS)) == (0, {b"bytes": b"0"})


def _bytes(images: int) -> bytes:
    return str(images * len(photo())).encode()


def test_a_job_of_nobody_waits_like_any_other(queue: JobQueue, redis: Redis) -> None:
    redis.rpush(make_queue(redis).key, "of-other-tools")
    [job_id] = submit(queue, "a")
    assert waiting(redis) == [b"of-other-tools", job_id.encode()]
