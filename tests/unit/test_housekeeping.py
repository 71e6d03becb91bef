import logging
import time
from collections.abc import Callable

import pytest
from redis import Redis
from rq.registry import CanceledJobRegistry

from jobs import housekeeping as housekeeping_module
from jobs.errors import StoreAway
from jobs.housekeeping import PAUSE_S, SWEEP_S, Housekeeping
from jobs.lifetimes import Gone
from jobs.queue import JobQueue
from jobs.results import Place
from jobs.store import RedisStore
from jobs.stores.contract import ENDED, FOLDERS, RESULTS
from jobs.turns import make_queue
from tests.unit.conftest import REQUEST, stored, work_off, worker
from tests.unit.images import photo


class Uptime:
    """Of one pool's machine."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def uptime() -> Uptime:
    return Uptime()


@pytest.fixture
def housekeeping(redis: Redis, uptime: Uptime) -> Housekeeping:
    return Housekeeping(make_queue(redis), RedisStore(redis), 100, uptime)


@pytest.fixture
def all_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping_module, "LEFTOVER_S", 0)


def test_images_of_ended_jobs_are_kept_while_there_is_room_the_newest_first(redis: Redis,
                                                                            housekeeping: Housekeeping) -> None:
    store = RedisStore(redis)
    for number in range(5):
        store.put(f"ended/job{number}", bytes(40))
        redis.zincrby("punnet:store:ended-times", number, f"job{number}")  # seconds tell their ages
    housekeeping.look()
    assert stored(redis, ENDED) == ["job3", "job4"]


def test_nothing_young_is_swept(redis: Redis, housekeeping: Housekeeping) -> None:
    """A job may be stored before it is accepted."""
    for folder in FOLDERS:
        RedisStore(redis).put(f"{folder}/never-accepted", b"x")
    housekeeping.look()
    assert [len(stored(redis, folder)) for folder in FOLDERS] == [1, 1, 1]


@pytest.mark.parametrize(("end", "kept"), [
    (lambda queue, redis, job_id: None, [["job"], ["job"], ["job.a", "job.b"]]),
    (lambda queue, redis, job_id: queue.cancel(job_id), [[], [], ["job.a", "job.b"]]),
    (lambda queue, redis, job_id: redis.delete(f"rq:job:{job_id}"), [[], [], []])])
@pytest.mark.usefixtures("all_are_old")
def test_what_belongs_to_no_job_is_swept(queue: JobQueue, redis: Redis, housekeeping: Housekeeping,
                                         end: Callable, kept: list[list[str]]) -> None:
    """A job that waits needs its image, and one that ended what was kept of it."""
    store, job_id = RedisStore(redis), queue.submit(REQUEST, photo()).id
    end(queue, redis, job_id)
    for name in (job_id, "never-accepted"):
        for stored_as in (f"spool/{name}", f"ended/{name}", f"results/{name}.a", f"results/{name}.b"):
            store.put(stored_as, b"x")
    housekeeping.look()
    found = [sorted(name.replace(job_id, "job") for name in stored(redis, folder)) for folder in FOLDERS]
    assert found == kept


@pytest.mark.usefixtures("all_are_old")
def test_of_several_pools_one_sweeps(redis: Redis, housekeeping: Housekeeping, uptime: Uptime) -> None:
    others = Housekeeping(make_queue(redis), RedisStore(redis), 100, uptime)
    for each in (housekeeping, others):
        each.look()
        RedisStore(redis).put("results/left", b"x")
    assert stored(redis, RESULTS) == ["left"]
    assert 0 < redis.pttl("punnet:swept:all") <= SWEEP_S * 1000
    uptime.now_s += SWEEP_S
    redis.delete("punnet:swept:all")
    others.look()
    assert stored(redis, RESULTS) == []


def test_what_jobs_left_goes_with_their_time(redis: Redis, housekeeping: Housekeeping) -> None:
    store, place = RedisStore(redis), Place("results/a.1", 1)
    for name in ("ended/a", "ended/b", "ended/c", place.name):
        store.put(name, b"x")
    housekeeping.forget([Gone("a", "", True, place), Gone("b", "", True, None), Gone("c", "", False, None)])
    assert (stored(redis, ENDED), stored(redis, RESULTS)) == (["c"], [])


def test_a_store_that_is_away_is_left_alone_for_a_while(redis: Redis, housekeeping: Housekeeping, uptime: Uptime,
                                                        monkeypatch: pytest.MonkeyPatch,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    asked: list[float] = []

    def away(*_: object) -> None:
        asked.append(uptime.now_s)
        raise StoreAway("no answer")

    monkeypatch.setattr(RedisStore, "entries", away)
    monkeypatch.setattr(RedisStore, "delete", away)
    with caplog.at_level(logging.WARNING):
        for _ in range(int(PAUSE_S) + 1):
            housekeeping.look()
            housekeeping.forget([Gone("a", "", True, None)])
            uptime.now_s += 1
    assert len(asked) == len(caplog.messages) == 2
    assert "no answer" in caplog.messages[0]


def test_canceled_jobs_and_killed_workers_leave_rqs_lists(queue: JobQueue, redis: Redis,
                                                          housekeeping: Housekeeping) -> None:
    registry = CanceledJobRegistry(queue=make_queue(redis))
    fresh = queue.cancel(queue.submit(REQUEST, photo()).id).id
    redis.zadd(registry.key, {"old": time.time() - 1})
    killed = worker(redis, "pool.killed")
    killed.register_birth()
    redis.delete(killed.key)
    housekeeping.look()
    assert registry.get_job_ids() == [fresh]
    assert redis.keys("rq:workers*") == []


def test_a_job_leaves_nothing_behind(queue: JobQueue, redis: Redis) -> None:
    """All but what tells 410 from 404, and what is one for all jobs."""
    before = {*redis.keys("*")}
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis)
    assert job_id in stored(redis, ENDED)
    left = {key for key in redis.keys("*") if job_id.encode() in key}
    assert left == {f"rq:job:{job_id}".encode(), f"punnet:result:{job_id}".encode(),
                    f"punnet:store:ended/{job_id}".encode()}
    assert not before & left


def test_jobs_that_rqs_tools_deleted_leave_their_owners_list(queue: JobQueue, redis: Redis,
                                                             housekeeping: Housekeeping) -> None:
    kept, deleted = queue.submit(REQUEST, photo()).id, queue.submit(REQUEST, photo()).id
    redis.delete(f"rq:job:{deleted}")
    housekeeping.look()
    assert redis.zrange("punnet:jobs:", 0, -1) == [kept.encode()]
