import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from redis import Redis
from rq import Queue
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerData

from inference.engine import Engine
from inference.model import LoadedModel
from jobs.events import CHANNEL
from jobs.handback import DEATHS, MAX_DEATHS, put_back
from jobs.outcome import DEADLINE
from jobs.queue import LEASE_S, JobQueue, make_queue
from jobs.store import RedisStore
from tests.unit.conftest import REQUEST, runtime_of, start_running, work_off
from tests.unit.pictures import photo
from worker import pool as pool_module
from worker import runtime as runtime_module
from worker import warm as warm_module
from worker.giving_way import ByPriority
from worker.lane import LanePool
from worker.pool import UNOWNED_S, WarmPool

LONG_AGO_S = 1000


@pytest.fixture
def rq_queue(redis: Redis) -> Queue:
    return make_queue(redis)


@pytest.fixture
def pool(redis: Redis, engine: Engine, tmp_path: Path) -> WarmPool:
    lane = LanePool(tmp_path / "lane.sock", 0, lambda _: runtime_of(engine, redis))
    return WarmPool("pool", lambda: redis, lambda client: runtime_of(engine, client), 1, lane,
                    job_timeout_s=300, stop_timeout_s=5)


@pytest.fixture
def running(queue: JobQueue, redis: Redis) -> Execution:
    """Held by a worker that is no child of `pool`: dead."""
    return start_running(redis, queue.submit(REQUEST, photo()).id)


def job_of(redis: Redis, job_id: str) -> Job:
    return Job.fetch(job_id, redis, JSONSerializer)


def expire_lease(redis: Redis, rq_queue: Queue, execution: Execution) -> None:
    redis.zadd(rq_queue.started_job_registry.key, {execution.composite_key: 1})


def test_a_dead_workers_job_goes_to_the_head_of_the_queue_once(queue: JobQueue, running: Execution, redis: Redis,
                                                               rq_queue: Queue) -> None:
    waiting = queue.submit(REQUEST, photo()).id
    for _ in range(2):
        put_back(rq_queue, running.job_id, running.id, blame=True)
    assert rq_queue.get_job_ids() == [running.job_id, waiting]
    assert queue.read(running.job_id).state == "queued"
    assert not redis.exists(running.key)


def test_the_job_then_succeeds_with_all_its_retries(queue: JobQueue, running: Execution, redis: Redis, engine: Engine,
                                                    rq_queue: Queue) -> None:
    retries = job_of(redis, running.job_id).retries_left
    put_back(rq_queue, running.job_id, running.id, blame=True)
    assert job_of(redis, running.job_id).retries_left == retries
    work_off(redis, engine)
    assert queue.read(running.job_id).state == "succeeded"


def test_those_who_wait_hear_that_it_was_put_back(running: Execution, redis: Redis, rq_queue: Queue) -> None:
    with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(CHANNEL + running.job_id)
        subscription.get_message(timeout=1)
        put_back(rq_queue, running.job_id, running.id, blame=True)
        assert subscription.get_message(timeout=1) is not None


def test_a_picture_that_kills_each_worker_fails_as_worker_lost(queue: JobQueue, redis: Redis, rq_queue: Queue) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    for death in range(1, MAX_DEATHS + 1):
        put_back(rq_queue, job_id, start_running(redis, job_id).id, blame=True)
        assert (queue.read(job_id).state == "failed") == (death == MAX_DEATHS)
    record = queue.read(job_id)
    assert record.outcome is not None
    assert record.outcome.kind == "WorkerLost"
    assert record.completed_at is not None
    assert rq_queue.get_job_ids() == []


def test_a_stop_is_no_death(queue: JobQueue, redis: Redis, rq_queue: Queue) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    for _ in range(2 * MAX_DEATHS):
        put_back(rq_queue, job_id, start_running(redis, job_id).id, blame=False)
    assert queue.read(job_id).state == "queued"


def test_a_job_that_ended_meanwhile_is_not_put_back(queue: JobQueue, redis: Redis, engine: Engine,
                                                    rq_queue: Queue) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    held = start_running(redis, job_id)
    never_held = Execution("other", job_id, redis)
    put_back(rq_queue, job_id, held.id, blame=False)
    work_off(redis, engine)
    for execution in (held, never_held):
        put_back(rq_queue, job_id, execution.id, blame=True)
    assert queue.read(job_id).state == "succeeded"
    assert rq_queue.get_job_ids() == []


def test_a_job_whose_record_is_gone_is_forgotten(running: Execution, redis: Redis, rq_queue: Queue) -> None:
    redis.delete(Job.key_for(running.job_id))
    put_back(rq_queue, running.job_id, running.id, blame=True)
    assert rq_queue.get_job_ids() == []
    assert redis.zcard(rq_queue.started_job_registry.key) == 0


def test_the_pool_puts_back_what_its_dead_children_held(pool: WarmPool, queue: JobQueue, running: Execution) -> None:
    pool.check_workers(respawn=False)
    assert queue.read(running.job_id).state == "queued"


def test_the_pool_leaves_a_living_childs_job_alone(pool: WarmPool, queue: JobQueue, running: Execution,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WarmPool, "reap_workers", lambda self: None)
    pool.worker_dict["child"] = None  # type: ignore[assignment]
    pool.check_workers(respawn=False)
    assert queue.read(running.job_id).state == "processing"


@pytest.mark.parametrize(("expired", "watched_s", "state"), [
    (False, LONG_AGO_S, "processing"), (True, LONG_AGO_S, "queued"), (True, 1, "processing")])
def test_another_machines_job_is_left_alone_until_its_lease_ends_under_watch(
        pool: WarmPool, queue: JobQueue, redis: Redis, rq_queue: Queue, expired: bool, watched_s: float,
        state: str) -> None:
    """A lease that ended while the queue server was away, or this machine slept, could not be renewed."""
    pool._sound_since = time.monotonic() - watched_s
    held = start_running(redis, queue.submit(REQUEST, photo()).id, owner="elsewhere.child")
    if expired:
        expire_lease(redis, rq_queue, held)
    pool.check_workers(respawn=False)
    assert queue.read(held.job_id).state == state


def test_a_lost_queue_server_begins_the_watch_anew(pool: WarmPool, server: fakeredis.FakeServer) -> None:
    pool._sound_since = float("-inf")
    for connected in (False, True):
        server.connected = connected
        pool.check_workers(respawn=False)
    assert time.monotonic() - pool._sound_since < 5


def test_a_job_that_ended_is_not_run_again(queue: JobQueue, redis: Redis, rq_queue: Queue, engine: Engine) -> None:
    """Put back by mistake, its image is gone: a second run would end it as lost."""
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis, engine)
    rq_queue.push_job_id(job_id)
    work_off(redis, engine)
    assert queue.read(job_id).state == "succeeded"
    assert rq_queue.intermediate_queue.get_job_ids() == []


def test_a_job_that_outlasts_its_limit_natively_is_ended(pool: WarmPool, queue: JobQueue, redis: Redis,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    held = start_running(redis, queue.submit(REQUEST, photo()).id)
    redis.hset(held.key, "created_at", time.time() - LONG_AGO_S)
    killed: list[int] = []
    monkeypatch.setattr(pool_module.os, "kill", lambda pid, number: killed.append(pid))
    monkeypatch.setattr(pool, "reap_workers", lambda: None)
    pool.worker_dict["child"] = WorkerData("child", 4711, None)  # type: ignore[arg-type]
    pool.check_workers(respawn=False)
    ended = queue.read(held.job_id)
    assert (killed, ended.state) == ([4711], "failed")
    assert ended.outcome is not None and ended.outcome.kind == DEADLINE


def test_a_running_jobs_lease_is_renewed(queue: JobQueue, redis: Redis, rq_queue: Queue, engine: Engine,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_module, "RENEW_S", 0.01)
    renewed = threading.Event()
    renew = warm_module.WarmWorker.maintain_heartbeats

    def note(*arguments: Any) -> None:
        renew(*arguments)
        renewed.set()

    monkeypatch.setattr(warm_module.WarmWorker, "maintain_heartbeats", note)
    monkeypatch.setattr(LoadedModel, "predict", lambda *_: renewed.wait(10) or pytest.fail("not renewed"))
    queue.submit(REQUEST, photo())
    work_off(redis, engine)
    assert renewed.is_set()


def test_a_job_that_nobody_holds_is_put_back_after_a_moment(pool: WarmPool, queue: JobQueue, redis: Redis,
                                                            rq_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker died between taking it from the queue and registering it as running."""
    now = [100.0]
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: now[0])
    job_id = queue.submit(REQUEST, photo()).id
    redis.lmove(rq_queue.key, rq_queue.intermediate_queue_key)
    pool.check_workers(respawn=False)
    assert rq_queue.get_job_ids() == []
    now[0] += UNOWNED_S
    pool.check_workers(respawn=False)
    pool.check_workers(respawn=False)
    assert rq_queue.get_job_ids() == [job_id]


def test_at_a_stop_what_the_children_held_is_put_back_without_blame(pool: WarmPool, queue: JobQueue, redis: Redis,
                                                                    running: Execution) -> None:
    assert pool.all_workers_have_stopped()
    assert queue.read(running.job_id).state == "queued"
    assert int(redis.hget(Job.key_for(running.job_id), DEATHS) or 0) == 0


def test_without_a_queue_server_the_pool_waits_and_says_so_once(
        pool: WarmPool, server: fakeredis.FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "worker.pool"):
        for connected in (False, False, True, True):
            server.connected = connected
            pool.check_workers(respawn=False)
    assert [message.split(":")[0] for message in caplog.messages] == [
        "queue server does not answer", "queue server is back"]


@pytest.mark.parametrize("end", [lambda queue, job_id: queue.cancel(job_id), lambda queue, job_id: None])
def test_images_without_a_living_job_are_swept(pool: WarmPool, queue: JobQueue, redis: Redis,
                                               monkeypatch: pytest.MonkeyPatch,
                                               end: Callable[[JobQueue, str], object]) -> None:
    monkeypatch.setattr(pool_module, "STORE_GRACE_S", -1)
    store, job_id = RedisStore(redis), queue.submit(REQUEST, photo()).id
    end(queue, job_id)
    alive = queue.read(job_id).state == "queued"
    store.put(job_id, photo())
    store.put("never-accepted", photo())
    pool.check_workers(respawn=False)
    assert store.total_bytes() == (len(photo()) if alive else 0)


def test_a_running_job_keeps_its_lease(running: Execution, redis: Redis, rq_queue: Queue) -> None:
    held: Any = redis.zrange(rq_queue.started_job_registry.key, 0, -1, withscores=True)
    [(_, until)] = held
    assert 0 < until - running.created_at.timestamp() <= LEASE_S + 1


def test_models_that_do_not_survive_a_fork_are_loaded_in_the_child(pool: WarmPool, engine: Engine,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[tuple] = []
    monkeypatch.setattr(Engine, "load", lambda self, *arguments: loads.append(arguments))
    monkeypatch.setattr(runtime_module, "die_with_parent", lambda parent_pid: None)
    monkeypatch.setattr(runtime_module, "_show_as", lambda name: None)
    monkeypatch.setattr(runtime_module, "giving_way", ByPriority)
    monkeypatch.setattr(runtime_module.signal, "signal", lambda *_: None)
    monkeypatch.setattr(pool_module.WarmWorker, "work", lambda self, **_: None)
    pool._run_worker("pool.child", 1)
    assert loads == [()]
