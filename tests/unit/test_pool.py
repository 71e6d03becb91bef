import logging
import os
from types import SimpleNamespace
from typing import Any, cast

import fakeredis
import pytest
from redis import Redis
from redis.exceptions import ResponseError
from rq.executions import Execution
from rq.worker_pool import WorkerData

from jobs.housekeeping import Housekeeping
from jobs.queue import JobQueue
from jobs.store import RedisStore
from jobs.turns import make_queue
from tests.unit.conftest import REQUEST, start_running, tasks_of
from tests.unit.images import photo
from worker import pool as pool_module
from worker.pool import Pool


class NoDeliverer:
    """A child less to fork."""

    def keep(self) -> None: ...

    def end(self) -> None: ...


@pytest.fixture
def pool(redis: Redis) -> Pool:
    return Pool("pool", lambda: make_queue(redis), tasks_of,
                lambda queue: Housekeeping(queue, RedisStore(redis), 10**6), workers=1, stop_timeout_s=5,
                deliverer=cast(Any, NoDeliverer()), has_died=lambda name: False)


@pytest.fixture
def running(queue: JobQueue, redis: Redis) -> Execution:
    """By a worker that is no child of `pool`: it is dead."""
    return start_running(redis, queue.submit(REQUEST, photo()).id)


def test_the_pool_requeues_what_its_dead_children_ran(pool: Pool, queue: JobQueue, running: Execution) -> None:
    pool.check_workers(respawn=False)
    assert queue.read(running.job_id).state == "queued"


def test_at_a_stop_what_the_children_ran_is_requeued(pool: Pool, queue: JobQueue, running: Execution) -> None:
    assert pool.all_workers_have_stopped()
    assert queue.read(running.job_id).state == "queued"


def test_without_a_queue_server_the_pool_waits_and_says_so_once(
        pool: Pool, server: fakeredis.FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "worker.pool"):
        for connected in (False, False, True, True):
            server.connected = connected
            pool.check_workers(respawn=False)
    assert [message.split(":")[0] for message in caplog.messages] == [
        "queue server takes no work", "the queue goes on"]


def test_a_queue_server_whose_disk_is_full_is_waited_for(pool: Pool, queue: JobQueue, running: Execution, redis: Redis,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers PING as it answers what it would have to write down."""
    def refuse() -> None:
        raise ResponseError("MISCONF Errors writing to the AOF file: No space left on device")

    with monkeypatch.context() as full:
        full.setattr(redis, "ping", refuse)
        pool.check_workers(respawn=False)
        assert queue.read(running.job_id).state == "processing"
    pool.check_workers(respawn=False)
    assert queue.read(running.job_id).state == "queued"


def test_on_a_full_disk_finished_results_go_too_now_and_then(pool: Pool, monkeypatch: pytest.MonkeyPatch,
                                                             caplog: pytest.LogCaptureFixture) -> None:
    asked: list[int] = []

    def shorten(room_bytes: int) -> bool:
        asked.append(room_bytes)
        return True

    monkeypatch.setattr(pool._housekeeping, "make_room", lambda: 1000)
    monkeypatch.setattr(pool._lifetimes, "shorten", shorten)
    for _ in range(3):
        pool.check_workers(respawn=False)
    assert asked == [500]
    assert [message.split(":")[0] for message in caplog.messages] == [
        "finished results go before their time", "the disk of the state folder is nearly full"]


def test_a_state_folder_that_is_gone_is_told_once(pool: Pool, monkeypatch: pytest.MonkeyPatch,
                                                  caplog: pytest.LogCaptureFixture) -> None:
    def gone() -> None:
        raise FileNotFoundError(2, "No such file or directory", "/state")

    monkeypatch.setattr(pool._housekeeping, "make_room", gone)
    for _ in range(2):
        pool.check_workers(respawn=False)
    assert len(caplog.messages) == 1
    assert "/state" in caplog.messages[0]


def test_a_worker_that_is_killed_is_told_of_by_name_and_signal(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    killed = WorkerData("child", 7, cast(Any, SimpleNamespace(exitcode=-9)))
    pool.handle_dead_worker(killed)
    assert caplog.messages == ["worker pool.child (pid 7) was killed by SIGKILL; another takes its place"]


def test_a_child_begins_with_its_own_signals_and_dies_with_the_pool(pool: Pool, redis: Redis,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[object] = []
    monkeypatch.setattr(pool_module, "die_with_parent", steps.append)
    monkeypatch.setattr(pool_module, "show_as", lambda name: None)
    monkeypatch.setattr(pool_module.signal, "signal", lambda number, handler: steps.append(handler))
    monkeypatch.setattr(pool_module.Worker, "work", lambda self, **_: steps.append(self.name))
    pool._run_worker("pool.child", os.getppid())
    default = pool_module.signal.SIG_DFL
    assert steps == [os.getppid(), default, default, "pool.child"]
