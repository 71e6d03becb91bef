import time

import fakeredis
import pytest
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from jobs import recovery as recovery_module
from jobs.events import CHANNEL
from jobs.execution import DEATHS, HEARTBEAT_TTL_S, end
from jobs.job import Outcome
from jobs.queue import JobQueue, make_queue
from jobs.recovery import MAX_DEATHS, UNOWNED_S, Recovery, requeue
from tests.unit.conftest import REQUEST, start_running, work_off
from tests.unit.images import photo

LONG_AGO_S = 1000


@pytest.fixture
def rq_queue(redis: Redis) -> Queue:
    return make_queue(redis)


@pytest.fixture
def recovery(rq_queue: Queue) -> Recovery:
    return Recovery(rq_queue, "pool")


@pytest.fixture
def running(queue: JobQueue, redis: Redis) -> Execution:
    """By worker `child` of `pool`."""
    return start_running(redis, queue.submit(REQUEST, photo()).id)


def test_a_dead_workers_job_goes_to_the_head_of_the_queue_once(queue: JobQueue, running: Execution, redis: Redis,
                                                               rq_queue: Queue) -> None:
    waiting = queue.submit(REQUEST, photo()).id
    for _ in range(2):
        requeue(rq_queue, running.job_id, running.id, blame=True)
    assert rq_queue.get_job_ids() == [running.job_id, waiting]
    assert queue.read(running.job_id).state == "queued"
    assert not redis.exists(running.key)


def test_the_job_then_succeeds_with_all_its_retries(queue: JobQueue, running: Execution, redis: Redis,
                                                    rq_queue: Queue) -> None:
    def retries_left() -> int | None:
        return Job.fetch(running.job_id, redis, JSONSerializer).retries_left

    before = retries_left()
    requeue(rq_queue, running.job_id, running.id, blame=True)
    assert retries_left() == before
    work_off(redis)
    assert queue.read(running.job_id).state == "succeeded"


def test_those_who_wait_hear_that_it_was_requeued(running: Execution, redis: Redis, rq_queue: Queue) -> None:
    with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(CHANNEL + running.job_id)
        subscription.get_message(timeout=1)
        requeue(rq_queue, running.job_id, running.id, blame=True)
        assert subscription.get_message(timeout=1) is not None


def test_a_job_that_costs_each_worker_fails_as_worker_lost(queue: JobQueue, redis: Redis, rq_queue: Queue) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    for death in range(1, MAX_DEATHS + 1):
        requeue(rq_queue, job_id, start_running(redis, job_id).id, blame=True)
        assert (queue.read(job_id).state == "failed") == (death == MAX_DEATHS)
    record = queue.read(job_id)
    assert record.outcome is not None
    assert record.outcome.kind == "WorkerLost"
    assert record.completed_at is not None
    assert rq_queue.get_job_ids() == []


def test_a_stop_is_no_death(queue: JobQueue, redis: Redis, rq_queue: Queue) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    for _ in range(2 * MAX_DEATHS):
        requeue(rq_queue, job_id, start_running(redis, job_id).id, blame=False)
    assert queue.read(job_id).state == "queued"


def test_a_job_that_ended_meanwhile_is_not_requeued(queue: JobQueue, redis: Redis, rq_queue: Queue) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    gone = start_running(redis, job_id)
    never_was = Execution("other", job_id, redis)
    requeue(rq_queue, job_id, gone.id, blame=False)
    work_off(redis)
    for execution in (gone, never_was):
        requeue(rq_queue, job_id, execution.id, blame=True)
    assert queue.read(job_id).state == "succeeded"
    assert rq_queue.get_job_ids() == []


def test_who_lost_a_job_cannot_end_it(queue: JobQueue, running: Execution, redis: Redis, rq_queue: Queue) -> None:
    requeue(rq_queue, running.job_id, running.id, blame=True)
    start_running(redis, running.job_id, owner="pool.other")
    assert not end(rq_queue, running.job_id, running.id, Outcome(kind="InferenceFailed"))
    assert queue.read(running.job_id).state == "processing"


def test_a_job_whose_record_is_gone_is_forgotten(running: Execution, redis: Redis, rq_queue: Queue) -> None:
    redis.delete(Job.key_for(running.job_id))
    requeue(rq_queue, running.job_id, running.id, blame=True)
    assert rq_queue.get_job_ids() == []
    assert redis.zcard(rq_queue.started_job_registry.key) == 0


@pytest.mark.parametrize(("children", "state"), [((), "queued"), (("child",), "processing")])
def test_what_a_pools_dead_child_ran_is_requeued(recovery: Recovery, queue: JobQueue, running: Execution,
                                                 children: tuple[str, ...], state: str) -> None:
    recovery.look(children)
    assert queue.read(running.job_id).state == state


@pytest.mark.parametrize(("expired", "watched_s", "state"), [
    (False, LONG_AGO_S, "processing"), (True, LONG_AGO_S, "queued"), (True, 1, "processing")])
def test_another_machines_job_is_left_alone_until_its_heartbeats_end_under_watch(
        recovery: Recovery, queue: JobQueue, redis: Redis, rq_queue: Queue, expired: bool, watched_s: float,
        state: str) -> None:
    """Heartbeats that ended while the queue server was away, or this machine slept, could not be sent."""
    recovery._sound_since = time.monotonic() - watched_s
    execution = start_running(redis, queue.submit(REQUEST, photo()).id, owner="elsewhere.child")
    if expired:
        redis.zadd(rq_queue.started_job_registry.key, {execution.composite_key: 1})
    recovery.look(())
    assert queue.read(execution.job_id).state == state


def test_a_lost_queue_server_begins_the_watch_anew(recovery: Recovery, server: fakeredis.FakeServer) -> None:
    recovery._sound_since = float("-inf")
    server.connected = False
    with pytest.raises(RedisError):
        recovery.look(())
    server.connected = True
    recovery.look(())
    assert time.monotonic() - recovery._sound_since < 5


def test_a_job_that_nobody_executes_is_requeued_after_a_moment(recovery: Recovery, queue: JobQueue, redis: Redis,
                                                               rq_queue: Queue,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker died between taking it from the queue and registering it as running."""
    now = [100.0]
    monkeypatch.setattr(recovery_module.time, "monotonic", lambda: now[0])
    job_id = queue.submit(REQUEST, photo()).id
    redis.lmove(rq_queue.key, rq_queue.intermediate_queue_key)
    recovery.look(())
    assert rq_queue.get_job_ids() == []
    now[0] += UNOWNED_S
    recovery.look(())
    recovery.look(())
    assert rq_queue.get_job_ids() == [job_id]


def test_at_a_stop_nobody_is_blamed(recovery: Recovery, queue: JobQueue, redis: Redis, running: Execution) -> None:
    recovery.look((), blame=False)
    assert queue.read(running.job_id).state == "queued"
    assert int(redis.hget(Job.key_for(running.job_id), DEATHS) or 0) == 0


def test_a_running_job_has_a_heartbeat(running: Execution, redis: Redis, rq_queue: Queue) -> None:
    until = redis.zscore(rq_queue.started_job_registry.key, running.composite_key)
    assert until is not None
    assert 0 < until - running.created_at.timestamp() <= HEARTBEAT_TTL_S + 1
