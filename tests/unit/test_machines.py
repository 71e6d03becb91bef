"""Worker machines know of each other, and a job is run by one that has its model."""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis import Redis

from jobs import machines as machines_module
from jobs.deferral import deferred_key
from jobs.errors import QueueFull
from jobs.job import JobRecord
from jobs.leaving import leave
from jobs.machines import Machine, Machines, may_run, say_alive, say_gone
from jobs.queue import JobQueue
from jobs.recovery import Recovery, requeue
from jobs.store import RedisStore
from jobs.turns import make_queue
from tests.unit.conftest import REQUEST, MakeSettings, start_running, stored, tasks_of, work_off
from tests.unit.fake_predictors import FakePredictors
from tests.unit.images import photo
from worker.machine import OwnMachine
from worker.tasks import Tasks
from worker.worker import Worker

OLD, NEW = "old-files", "new-files"
ASKED = replace(REQUEST, fingerprint=NEW)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines_module, "LOOK_S", 0)


@pytest.mark.parametrize(("held", "wanted", "elsewhere", "was_known", "may"), [
    (NEW, NEW, (), True, True), (NEW, NEW, (NEW,), False, True),
    (None, NEW, (), True, False), (None, "", (), True, False),
    (OLD, NEW, (NEW,), True, False),  # another machine has them
    (OLD, NEW, (OLD,), False, False),  # they are yet to come
    (NEW, OLD, (NEW,), True, True),  # they are gone
    (OLD, "", (NEW,), False, True)])
def test_a_job_is_its_files_unless_these_are_gone_everywhere(held: str | None, wanted: str, elsewhere: tuple[str, ...],
                                                             was_known: bool, may: bool) -> None:
    assert may_run(held, wanted, elsewhere, was_known) is may


def announce(redis: Redis, name: str, models: Mapping[str, str], workers: int = 1) -> None:
    say_alive(make_queue(redis), Machine(name, "host", workers, models))


def machine(redis: Redis, name: str, models: Mapping[str, str]) -> Tasks:
    """What the workers of an announced machine run their jobs with."""
    announce(redis, name, models)
    catalogue: Any = SimpleNamespace(is_ready=True, fingerprints=models)
    return replace(tasks_of(redis), catalogue=catalogue, machines=Machines(make_queue(redis), name))


def work(redis: Redis, name: str, tasks: Tasks) -> FakePredictors:
    """What was asked while a worker of the machine ran all that it could."""
    predictors = FakePredictors()
    own = OwnMachine(make_queue(redis), name, 1, tasks)
    own.look()
    tasks = replace(tasks, predictors=cast(Any, predictors))
    Worker(make_queue(redis), f"{name}.w", tasks, lambda: own.has_awaited).work(burst=True, logging_level=None)
    return predictors


def test_the_workers_of_all_living_machines_share_the_work(queue: JobQueue, redis: Redis) -> None:
    for _ in range(4):
        queue.submit(replace(ASKED, predicted_ms=6000), photo())
    announce(redis, "a", {"leaf": NEW}, workers=2)
    one = queue.submit(replace(ASKED, predicted_ms=6000), photo())
    announce(redis, "b", {"leaf": NEW}, workers=4)
    both = queue.read(one.id)
    say_gone(make_queue(redis), "a")
    redis.delete("punnet:machine:b")  # its heartbeats ended
    none = queue.read(one.id)
    assert (one.eta_s, both.eta_s, none.eta_s) == (15, 6, 30)
    assert (one.waiting_for, none.waiting_for) == ("", "a worker machine: none is running")


def test_a_full_queue_is_worked_off_by_all_machines(redis: Redis, make_settings: MakeSettings) -> None:
    queue = JobQueue(redis, RedisStore(redis), make_settings(queue_max_jobs=1))
    queue.submit(replace(ASKED, predicted_ms=60_000), photo())
    announce(redis, "a", {"leaf": NEW}, workers=10)
    with pytest.raises(QueueFull) as caught:
        queue.submit(ASKED, photo())
    assert caught.value.retry_after_s == 6


@pytest.mark.parametrize("models", [{}, {"leaf": OLD}])
def test_a_machine_without_the_model_leaves_the_job_to_one_that_has_it(queue: JobQueue, redis: Redis,
                                                                       models: dict[str, str]) -> None:
    lacking = machine(redis, "lacking", models)
    having = machine(redis, "having", {"leaf": NEW})
    ids = [queue.submit(ASKED, photo()).id for _ in range(3)]
    assert work(redis, "lacking", lacking).asked == []
    left = [queue.read(job_id) for job_id in ids]
    assert [(job.state, job.queue_position, job.waiting_for) for job in left] == [
        ("queued", place, "") for place in (1, 2, 3)]
    assert len(work(redis, "having", having).asked) == 3
    assert [queue.read(job_id).state for job_id in ids] == ["succeeded"] * 3
    assert nothing_waits(redis)


def nothing_waits(redis: Redis) -> bool:
    return not redis.exists(deferred_key("punnet"), *redis.keys("punnet:awaiting:*"))


@pytest.mark.parametrize(("models", "told"), [
    ({"other": OLD}, "a worker machine that serves model 'leaf'"),
    ({"leaf": OLD}, "a worker machine that has the files of model 'leaf' for which the job was accepted")])
def test_a_job_that_no_machine_can_run_says_so_until_one_joins(queue: JobQueue, redis: Redis, models: dict[str, str],
                                                               told: str) -> None:
    job_id = queue.submit(ASKED, photo()).id
    work(redis, "lacking", machine(redis, "lacking", models))
    record = queue.read(job_id)
    assert (record.state, record.waiting_for) == ("queued", told)
    work(redis, "joins", machine(redis, "joins", {"leaf": NEW}))
    assert queue.read(job_id).state == "succeeded"


def test_files_that_are_gone_everywhere_are_replaced_by_those_that_took_their_place(queue: JobQueue,
                                                                                     redis: Redis) -> None:
    announce(redis, "a", {"leaf": NEW})
    job_id = queue.submit(ASKED, photo()).id
    work(redis, "a", machine(redis, "a", {"leaf": "newer-files"}))
    assert queue.read(job_id).state == "succeeded"


def test_what_was_left_comes_before_what_came_later_and_keeps_its_tries(queue: JobQueue, redis: Redis) -> None:
    first = queue.submit(ASKED, photo()).id
    lacking = machine(redis, "lacking", {})
    work(redis, "lacking", lacking)
    having = machine(redis, "having", {"leaf": NEW})
    second = queue.submit(ASKED, photo()).id
    work(redis, "having", having)
    one, other = queue.read(first), queue.read(second)
    assert one.started_at is not None
    assert other.started_at is not None
    assert one.started_at < other.started_at
    assert redis.hget(f"rq:job:{first}", "punnet_deaths") is None


def left(queue: JobQueue, redis: Redis, **given: Any) -> JobRecord:
    """A job that no machine can run."""
    record = queue.submit(replace(ASKED, **given), photo())
    work(redis, "lacking", machine(redis, "lacking", {}))
    return record


def test_a_job_that_is_left_can_be_canceled(queue: JobQueue, redis: Redis) -> None:
    record = left(queue, redis)
    assert queue.cancel(record.id).state == "canceled"
    assert nothing_waits(redis)


def test_a_job_that_is_left_counts_among_those_that_wait(queue: JobQueue, redis: Redis) -> None:
    left(queue, redis)
    assert make_queue(redis).look("b").jobs == 1


@pytest.mark.parametrize(("given", "later_s", "kind"), [
    ({"deadline_s": 30}, 29, None), ({"deadline_s": 30}, 31, "Deadline"), ({}, 3599, None),
    ({}, 3601, "ModelNotFound")])
def test_nobody_waits_for_a_machine_for_ever(queue: JobQueue, redis: Redis, monkeypatch: pytest.MonkeyPatch,
                                             given: dict[str, float], later_s: float, kind: str | None) -> None:
    record, tasks = left(queue, redis, **given), machine(redis, "lacking", {})
    now_s = record.created_at.timestamp() + later_s
    monkeypatch.setattr("jobs.leaving.server_time_s", lambda client: now_s)
    OwnMachine(make_queue(redis), "lacking", 1, tasks).look()
    outcome = queue.read(record.id).outcome
    assert (outcome and outcome.kind) == kind
    assert (stored(redis) == []) == (kind is not None)


def test_a_machine_that_dies_as_it_takes_a_left_job_loses_it_not(queue: JobQueue, redis: Redis) -> None:
    record = left(queue, redis)
    rq_queue = make_queue(redis)
    worker = Worker(rq_queue, "having.w", machine(redis, "having", {"leaf": NEW}), lambda: True)
    assert worker._left_by_others() is not None
    requeue(rq_queue, record.id, None, blame=False)
    assert rq_queue.get_job_ids() == [record.id]
    assert queue.read(record.id).queue_position == 1


def test_a_job_that_somebody_runs_is_not_left(queue: JobQueue, redis: Redis) -> None:
    record = queue.submit(ASKED, photo())
    start_running(redis, record.id)
    assert not leave(make_queue(redis), record.id)
    Recovery(make_queue(redis), "pool").look(("child",))
    assert queue.read(record.id).state == "processing"


def test_a_model_that_goes_as_its_job_begins_costs_no_try(queue: JobQueue, redis: Redis) -> None:
    tasks, gone = machine(redis, "a", {"leaf": NEW}), dict[str, str]()
    record = queue.submit(ASKED, photo())

    class Predictors:
        def predict(self, *_: object, **__: object) -> None:
            from inference.errors import ModelNotFound
            cast(Any, tasks.catalogue).fingerprints = gone
            raise ModelNotFound("no model 'leaf'")

    worker = Worker(make_queue(redis), "a.w", replace(tasks, predictors=cast(Any, Predictors())))
    worker.work(burst=True, logging_level=None)
    announce(redis, "a", gone)
    assert queue.read(record.id).waiting_for == "a worker machine that serves model 'leaf'"
    work_off(redis)
    work(redis, "b", machine(redis, "b", {"leaf": NEW}))
    assert queue.read(record.id).state == "succeeded"


def test_a_few_machines_look_at_the_workers_of_all_and_each_at_its_own_dead(queue: JobQueue, redis: Redis,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a thousand machines would ask for the executions of a thousand machines."""
    looks: list[str] = []
    monkeypatch.setattr(Recovery, "_look_at_executions", lambda self, *_: looks.append(self._pool_name))
    recoveries = {name: Recovery(make_queue(redis), name) for name in "abcde"}
    for _ in range(2):  # the first look of each is at what the pool before it left
        for name, recovery in recoveries.items():
            announce(redis, name, {})
            recovery.look(())
    looks.clear()
    monkeypatch.setattr("jobs.recovery.DECIDED_S", 0)
    for recovery in recoveries.values():
        recovery.look(())
    assert looks == ["a", "b", "c"]
    say_gone(make_queue(redis), "a")
    recoveries["e"].note_dead_worker()
    for name in "bcde":
        recoveries[name].look(())
    assert looks[3:] == ["b", "c", "d", "e"]
