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
from jobs.execution import HEARTBEAT_TTL_S, end
from jobs.job import Outcome
from jobs.keys import key
from jobs.queue import JobQueue
from jobs.recovery import MAX_DEATHS, UNOWNED_S, Recovery, requeue
from jobs.standing import DEATHS
from jobs.turns import make_queue
from tests.unit.conftest import REQUEST, start_running, work_off
from tests.unit.images import photo


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


def test_a_dead_workers_job_is_known_as_such_when_its_heartbeats_are_long_over(
        queue: JobQueue, running: Execution, redis: Redis, recovery: Recovery) -> None:
    """As after a restart of everything: RQ keeps an execution's hash no longer than its heartbeats."""
    redis.delete(running.key)
    recovery.look(())
    assert queue.read(running.job_id).state == "queued"


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
        subscription.subscribe(key(rq_queue.name, CHANNEL + running.job_id))
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


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The only item is what time.monotonic() tells."""
    now = [100.0]
    monkeypatch.setattr(recovery_module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def elsewhere(now: list[float], queue: JobQueue, redis: Redis) -> Execution:
    """By a worker of another machine."""
    return start_running(redis, queue.submit(REQUEST, photo()).id, owner="elsewhere.child")


def look_on(recovery: Recovery, now: list[float], seconds: float) -> None:
    for _ in range(int(seconds)):
        now[0] += 1
        recovery.look(())


def test_another_machines_job_is_requeued_when_its_heartbeats_end(
        recovery: Recovery, now: list[float], elsewhere: Execution, queue: JobQueue) -> None:
    look_on(recovery, now, HEARTBEAT_TTL_S)
    assert queue.read(elsewhere.job_id).state == "processing"
    look_on(recovery, now, 2)
    assert queue.read(elsewhere.job_id).state == "queued"


def test_a_job_of_this_machines_web_process_that_died_is_requeued_at_once(
        rq_queue: Queue, queue: JobQueue, elsewhere: Execution) -> None:
    Recovery(rq_queue, "pool", lambda name: False).look(())
    assert queue.read(elsewhere.job_id).state == "processing"
    Recovery(rq_queue, "pool", lambda name: name == elsewhere.worker_name).look(())
    assert queue.read(elsewhere.job_id).state == "queued"


@pytest.mark.parametrize("jump_s", [7200, -7200, 1])
def test_a_job_with_heartbeats_runs_once_wherever_the_clocks_jump(
        recovery: Recovery, now: list[float], elsewhere: Execution, queue: JobQueue, redis: Redis, rq_queue: Queue,
        jump_s: float) -> None:
    """A heartbeat bears the time of the machine that sent it."""
    for _ in range(3):
        redis.zincrby(rq_queue.started_job_registry.key, jump_s, elsewhere.composite_key)
        look_on(recovery, now, HEARTBEAT_TTL_S - 1)
    assert queue.read(elsewhere.job_id).state == "processing"


def test_heartbeats_that_could_not_be_looked_at_are_not_missed(
        recovery: Recovery, now: list[float], elsewhere: Execution, queue: JobQueue,
        server: fakeredis.FakeServer) -> None:
    """The queue server was away, or this machine slept."""
    look_on(recovery, now, 2)
    server.connected = False
    for _ in range(HEARTBEAT_TTL_S * 2):
        now[0] += 1
        with pytest.raises(RedisError):
            recovery.look(())
    server.connected = True
    look_on(recovery, now, HEARTBEAT_TTL_S - 1)
    now[0] += HEARTBEAT_TTL_S
    look_on(recovery, now, HEARTBEAT_TTL_S - 1)
    assert queue.read(elsewhere.job_id).state == "processing"


def test_a_job_that_nobody_executes_is_requeued_after_a_moment(recovery: Recovery, queue: JobQueue, redis: Redis,
                                                               rq_queue: Queue, now: list[float]) -> None:
    """Its worker died between taking it from the queue and registering it as running."""
    job_id = queue.submit(REQUEST, photo()).id
    redis.lmove(rq_queue.key, rq_queue.intermediate_queue_key)
    recovery.look(())
    assert rq_queue.get_job_ids() == []
    now[0] += UNOWNED_S
    recovery.look(())
    recovery.look(())
    assert rq_queue.get_job_ids() == [job_id]


@pytest.mark.parametrize(("owner", "blame", "why"), [
    ("pool.child", True, "its worker pool.child died"), ("pool.child", False, "its worker pool.child was stopped"),
    ("elsewhere.child", True, f"nothing was heard of elsewhere.child for {HEARTBEAT_TTL_S} s")])
def test_why_a_job_is_requeued_is_logged(recovery: Recovery, now: list[float], queue: JobQueue, redis: Redis,
                                         caplog: pytest.LogCaptureFixture, owner: str, blame: bool, why: str) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    start_running(redis, job_id, owner)
    for _ in range(HEARTBEAT_TTL_S + 2):
        now[0] += 1
        recovery.look((), blame)
    assert caplog.messages == [f"job {job_id} is requeued: {why}"]


def test_at_a_stop_nobody_is_blamed(recovery: Recovery, queue: JobQueue, redis: Redis, running: Execution) -> None:
    recovery.look((), blame=False)
    assert queue.read(running.job_id).state == "queued"
    assert int(redis.hget(Job.key_for(running.job_id), DEATHS) or 0) == 0


def test_a_running_job_has_a_heartbeat(running: Execution, redis: Redis, rq_queue: Queue) -> None:
    until = redis.zscore(rq_queue.started_job_registry.key, running.composite_key)
    assert until is not None
    assert 0 < until - running.created_at.timestamp() <= HEARTBEAT_TTL_S + 1
