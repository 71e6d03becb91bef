"""Two installations share a queue server, each with a queue of its own name, and do not disturb each other."""

from collections.abc import Callable

import pytest
from redis import Redis

from jobs.costs import SharedCosts
from jobs.errors import JobNotFound
from jobs.queue import JobQueue
from jobs.recovery import Recovery
from jobs.store import RedisStore, make_store
from jobs.stores.contract import SPOOL
from jobs.turns import make_queue
from settings import Settings
from tests.unit.conftest import REQUEST, start_running, work_off
from tests.unit.images import photo


@pytest.fixture
def other(settings: Settings) -> Settings:
    return settings.model_copy(update={"queue": "other"})


@pytest.fixture
def others(redis: Redis, other: Settings) -> JobQueue:
    return JobQueue(redis, make_store(redis, other), other)


@pytest.mark.parametrize("call", [JobQueue.read, JobQueue.cancel])
def test_a_job_of_another_installation_is_not_found(queue: JobQueue, others: JobQueue,
                                                    call: Callable[[JobQueue, str], object]) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    with pytest.raises(JobNotFound):
        call(others, job_id)
    assert queue.read(job_id).state == "queued"


def test_workers_and_recovery_leave_the_jobs_of_another_installation_alone(queue: JobQueue, others: JobQueue,
                                                                           redis: Redis) -> None:
    running, waiting = queue.submit(REQUEST, photo()).id, others.submit(REQUEST, photo()).id
    start_running(redis, running)
    Recovery(make_queue(redis, "other"), "pool").look(())
    work_off(redis)
    assert (queue.read(running).state, others.read(waiting).state) == ("processing", "queued")


def test_places_images_and_costs_are_each_installations_own(queue: JobQueue, others: JobQueue, redis: Redis,
                                                            other: Settings) -> None:
    for _ in range(3):
        queue.submit(REQUEST, photo())
    record = others.submit(REQUEST, photo())
    SharedCosts(redis).exchange({"decode PNG 3": [[1.0, [1.0], 1.0]]})
    assert (record.queue_position, record.eta_s) == (1, 0.1)
    assert [len(store.entries(SPOOL)) for store in (make_store(redis, other), RedisStore(redis))] == [1, 3]
    assert SharedCosts(redis, "other").exchange({}) == {}
