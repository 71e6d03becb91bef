from dataclasses import replace

import pytest
from redis import Redis
from rq.job import Job
from rq.registry import CanceledJobRegistry

from inference.errors import UnsupportedImage
from jobs import lifetimes, tombstones
from jobs.errors import JobExpired, JobNotFound
from jobs.keys import DEFAULT_QUEUE, key
from jobs.lifetimes import SPARE_S, Gone, Lifetimes
from jobs.queue import JobQueue
from jobs.results import Place
from jobs.turns import make_queue
from settings import MEGA, Settings
from tests.unit.conftest import REQUEST, MakeSettings, work_off
from tests.unit.fake_predictors import FakePredictors
from tests.unit.images import photo

TTL_S = 100
DAY_S = 24 * 3600
CLOCK, ENDED, RESULT, KNOWN = (key(DEFAULT_QUEUE, name) for name in (
    lifetimes.CLOCK, lifetimes.ENDED, lifetimes.RESULT, tombstones.KNOWN))


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(result_ttl_s=TTL_S)


class Pool:
    """A pool's part, with its own uptime."""

    def __init__(self, redis: Redis) -> None:
        self.uptime_s, self.gone = 1000.0, list[Gone]()
        self.lifetimes = Lifetimes(make_queue(redis), self.gone.extend, lambda: self.uptime_s)

    @property
    def forgotten(self) -> list[str]:
        return [gone.job_id for gone in self.gone]

    def look(self, after_s: float = 0.0) -> None:
        self.uptime_s += after_s
        self.lifetimes.look()


@pytest.fixture
def pool(redis: Redis) -> Pool:
    return Pool(redis)


@pytest.fixture
def done(queue: JobQueue, redis: Redis) -> str:
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis)
    return job_id


def test_a_job_can_be_read_for_its_time_and_is_then_expired(queue: JobQueue, redis: Redis, pool: Pool,
                                                            done: str) -> None:
    pool.look(TTL_S)
    assert queue.read(done).state == "succeeded"
    pool.look(2)
    with pytest.raises(JobExpired):
        queue.read(done)
    assert pool.gone == [Gone(done, "", True, None)]
    assert redis.keys(f"*{done}*") == [f"punnet:store:ended/{done}".encode()]  # the pool deletes the image
    assert (redis.zcard(ENDED), make_queue(redis).finished_job_registry.get_job_ids()) == (0, [])


@pytest.mark.parametrize("canceled", [True, False])
def test_so_are_canceled_and_failed_jobs(queue: JobQueue, redis: Redis, pool: Pool, predictors: FakePredictors,
                                         canceled: bool) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    predictors.answer = UnsupportedImage("no image")
    if canceled:
        queue.cancel(job_id)
    work_off(redis, predictors)
    rq_queue = make_queue(redis)
    registries = rq_queue.failed_job_registry, CanceledJobRegistry(queue=rq_queue)
    assert sum(len(registry) for registry in registries) == 1
    pool.look(TTL_S + 2)
    with pytest.raises(JobExpired):
        queue.read(job_id)
    assert sum(len(registry) for registry in registries) == 0


def test_no_jump_of_the_servers_clock_within_a_day_expires_anything(redis: Redis, done: str) -> None:
    for name in (Job.key_for(done), RESULT + done):
        assert SPARE_S < redis.ttl(name) <= SPARE_S + TTL_S
    [known] = redis.keys(f"{KNOWN}*")
    assert redis.ttl(known) > DAY_S + TTL_S


def test_a_day_after_its_time_a_job_is_not_known_any_more(queue: JobQueue, redis: Redis, pool: Pool, done: str) -> None:
    queue.submit(REQUEST, photo())
    pool.look(TTL_S + 2)
    for passed_s, error in ((DAY_S - 3, JobExpired), (3600 + 5, JobNotFound)):
        redis.incrbyfloat(CLOCK, passed_s)
        with pytest.raises(error):
            queue.read(done)


def test_to_another_owner_a_job_never_was(queue: JobQueue, redis: Redis, pool: Pool) -> None:
    job_id = queue.submit(replace(REQUEST, owner="mine"), photo()).id
    work_off(redis)
    pool.look(TTL_S + 2)
    with pytest.raises(JobExpired):
        queue.read(job_id, "mine")
    for owner in ("other", ""):
        with pytest.raises(JobNotFound):
            queue.read(job_id, owner)


def test_what_a_day_leaves_is_swept_and_nothing_else(redis: Redis) -> None:
    queue = make_queue(redis)
    with redis.pipeline() as pipeline:
        for number in range(300):
            job = queue.create_job("task", job_id=f"job{number}")
            tombstones.note(pipeline, job, "", number * 3600.0)
        pipeline.execute()
    for turn in range(16 ** tombstones.DIGITS):
        tombstones.sweep(queue, turn, 200 * 3600)
    known = [number for number in range(300) if tombstones.has(queue, f"job{number}", "", 0)]
    assert known == list(range(200 - tombstones.KEPT_H, 300))


def test_the_time_while_no_pool_runs_does_not_count(queue: JobQueue, redis: Redis, pool: Pool, done: str) -> None:
    pool.look(TTL_S - 10)
    successor = Pool(redis)
    successor.uptime_s = 7  # the machine was started anew
    successor.look()
    successor.look(9)
    assert queue.read(done).state == "succeeded"
    successor.look(3)
    with pytest.raises(JobExpired):
        queue.read(done)


def test_of_several_pools_one_moves_the_clock_and_another_takes_over(redis: Redis, pool: Pool, done: str) -> None:
    other = Pool(redis)
    for one in (pool, other) * 10:
        one.look(1)
    assert 9 <= float(redis.get(CLOCK) or 0) <= 11
    for _ in range(10):
        other.look(1)
    assert 18 <= float(redis.get(CLOCK) or 0) <= 21


def test_a_server_that_was_emptied_begins_anew(queue: JobQueue, redis: Redis, pool: Pool, done: str) -> None:
    pool.look(TTL_S - 1)
    redis.flushall()
    fresh = queue.submit(REQUEST, photo()).id
    work_off(redis)
    pool.look(1)
    pool.look(TTL_S - 2)
    assert queue.read(fresh).state == "succeeded"


def test_where_nothing_has_ended_nothing_is_written(redis: Redis, pool: Pool) -> None:
    pool.look(1)
    assert redis.keys("*") == []


def ended(queue: JobQueue, redis: Redis, sizes: list[int]) -> list[str]:
    """Jobs whose results have such sizes."""
    ids = [queue.submit(REQUEST, photo()).id for _ in sizes]
    work_off(redis)
    for number, (job_id, size) in enumerate(zip(ids, sizes, strict=True)):
        redis.set(RESULT + job_id, bytes(size))
        redis.zadd(ENDED, {job_id: TTL_S + number})
    return ids


@pytest.fixture
def info(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the server tells of its file; `asked` counts how often the file was to be written anew."""
    told = {"aof_current_size": 10**8, "aof_rewrite_in_progress": 0, "asked": 0}
    monkeypatch.setattr(redis, "info", lambda section: told if section == "persistence" else {"redis_version": "8"})
    monkeypatch.setattr(redis, "bgrewriteaof", lambda: told.update(asked=told["asked"] + 1))
    return told


def test_results_go_before_their_time_until_the_newest_fit_into_the_room(queue: JobQueue, redis: Redis, pool: Pool,
                                                                         info: dict[str, int]) -> None:
    oldest, middle, newest = ended(queue, redis, [100, 300, 200])
    assert pool.lifetimes.shorten(499)
    assert (pool.forgotten, info["asked"]) == ([oldest, middle], 1)
    assert queue.read(newest).state == "succeeded"
    with pytest.raises(JobExpired):
        queue.read(middle)


def test_large_results_go_too_though_they_are_not_in_the_queue_servers_file(queue: JobQueue, redis: Redis, pool: Pool,
                                                                            info: dict[str, int]) -> None:
    info.update({"aof_current_size": 0})
    ids = ended(queue, redis, [100, 100, 100])
    places = [Place(f"results/{job_id}.x", size) for job_id, size in zip(ids, (4 * MEGA, MEGA, MEGA), strict=True)]
    for job_id, place in zip(ids, places, strict=True):
        redis.set(RESULT + job_id, place.written)
    assert pool.lifetimes.shorten(MEGA)
    assert ([gone.place for gone in pool.gone], info["asked"]) == (places[:2], 0)
    assert not pool.lifetimes.shorten(MEGA)


@pytest.mark.parametrize(("told", "worth_it"), [({"aof_current_size": 10**6}, False),
                                                ({"aof_rewrite_in_progress": 1}, True)])
def test_no_result_goes_where_that_makes_no_room(queue: JobQueue, redis: Redis, pool: Pool, info: dict[str, int],
                                                 told: dict[str, int], worth_it: bool) -> None:
    info.update(told)
    ended(queue, redis, [100, 300, 200])
    assert pool.lifetimes.shorten(499) == worth_it
    assert (pool.forgotten, info["asked"]) == ([], 0)
