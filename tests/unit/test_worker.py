"""The worker runs in the test's main thread, as it installs signal handlers; what happens beside it, in another."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import fakeredis
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as QueueServerAway
from rq.command import send_stop_job_command
from rq.job import Job
from rq.serializers import JSONSerializer

from jobs.queue import JobQueue
from jobs.recovery import requeue
from jobs.results import LARGE_BYTES, Results
from jobs.standing import DEATHS
from jobs.store import RedisStore
from jobs.stores.contract import ENDED, RESULTS
from jobs.turns import make_queue
from tests.unit.conftest import REQUEST, refuse_writes, stored, work_off, worker
from tests.unit.fake_predictors import PREDICTION, FakePredictors
from tests.unit.images import photo
from worker import tasks as tasks_module
from worker import worker as worker_module

PATIENCE_S = 20
STATES = ("canceled", "succeeded")


def until(seen: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def no_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stop command brings about must not be a heartbeat's doing."""
    monkeypatch.setattr(worker_module, "HEARTBEAT_S", 2 * PATIENCE_S)


@pytest.fixture
def two(queue: JobQueue) -> list[str]:
    return [queue.submit(REQUEST, photo()).id for _ in range(2)]


def taken(redis: Redis) -> Job:
    """The job at the head, after a worker took it and before the worker registers it."""
    queue = make_queue(redis)
    job_id: Any = redis.lmove(queue.key, queue.intermediate_queue_key)
    return Job.fetch(job_id.decode(), redis, JSONSerializer)


def while_it_works(redis: Redis, predictors: FakePredictors, beside: Callable[[], object]) -> None:
    """Work off what waits, with `beside` in another thread."""
    thread = threading.Thread(target=beside)
    thread.start()
    work_off(redis, predictors)
    thread.join(PATIENCE_S)


@pytest.mark.parametrize("stop", [
    lambda queue, redis, job_id: queue.cancel(job_id),
    lambda queue, redis, job_id: send_stop_job_command(redis, job_id, JSONSerializer)])
def test_a_running_job_is_called_off_and_the_next_one_starts(queue: JobQueue, redis: Redis, two: list[str],
                                                             predictors: FakePredictors, stop: Callable) -> None:
    """By us, and by RQ's own tools."""
    predictors.answer = None

    def beside() -> None:
        until(lambda: predictors.runs)
        predictors.answer = PREDICTION
        stop(queue, redis, two[0])

    while_it_works(redis, predictors, beside)
    assert predictors.runs[0].called_off
    assert tuple(queue.read(job_id).state for job_id in two) == STATES


def test_a_job_that_is_canceled_before_its_run_begins_is_not_asked_for(queue: JobQueue, redis: Redis, two: list[str],
                                                                       predictors: FakePredictors,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """It is registered as running, and its worker reads the image."""
    switches: list[tasks_module.OffSwitch] = []
    get, run = RedisStore.get, tasks_module.Tasks.run

    def slow_get(store: RedisStore, name: str) -> bytes:
        image = get(store, name)
        if name.endswith(two[0]):
            queue.cancel(two[0])
            until(switches[0]._off.is_set)
        return image

    def noted_run(tasks: Any, task: Any, switch: tasks_module.OffSwitch) -> Any:
        switches.append(switch)
        return run(tasks, task, switch)

    monkeypatch.setattr(tasks_module.Tasks, "run", noted_run)
    monkeypatch.setattr(RedisStore, "get", slow_get)
    work_off(redis, predictors)
    assert len(predictors.asked) == 1
    assert tuple(queue.read(job_id).state for job_id in two) == STATES


def test_a_job_that_is_canceled_between_taking_and_registering_is_not_begun(queue: JobQueue, redis: Redis,
                                                                            two: list[str],
                                                                            predictors: FakePredictors) -> None:
    job = taken(redis)
    assert queue.cancel(job.id).state == "canceled"
    worker(redis, predictors=predictors).execute_job(job, make_queue(redis))
    assert (predictors.asked, queue.read(job.id).state) == ([], "canceled")
    work_off(redis, predictors)
    assert tuple(queue.read(job_id).state for job_id in two) == STATES


def test_a_job_that_has_just_ended_is_not_canceled(queue: JobQueue, redis: Redis, two: list[str],
                                                   predictors: FakePredictors, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a stop command that comes late hits no other job."""
    predictors.answer = None

    def beside() -> None:
        until(lambda: predictors.runs)
        predictors.runs[0].end(PREDICTION)
        until(lambda: len(predictors.runs) == 2)
        assert queue.cancel(two[0]).state == "succeeded"
        send_stop_job_command(redis, two[0], JSONSerializer)
        predictors.runs[1].end(PREDICTION)

    while_it_works(redis, predictors, beside)
    assert [queue.read(job_id).state for job_id in two] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("size_bytes", [100, LARGE_BYTES + 1])
def test_a_run_that_ends_after_its_job_was_canceled_changes_nothing(queue: JobQueue, redis: Redis,
                                                                    predictors: FakePredictors,
                                                                    monkeypatch: pytest.MonkeyPatch,
                                                                    size_bytes: int) -> None:
    """The end and the cancellation cross on their way."""
    job_id, put = queue.submit(REQUEST, photo()).id, Results.put

    def put_and_cancel(results: Results, job_id: str, result: bytes) -> bytes:
        written = put(results, job_id, result)
        queue.cancel(job_id)
        return written

    monkeypatch.setattr(Results, "put", put_and_cancel)
    predictors.answer = replace(PREDICTION, result=bytes(size_bytes))
    work_off(redis, predictors)
    assert queue.read(job_id).state == "canceled"
    assert redis.keys("punnet:result:*") == stored(redis) == stored(redis, ENDED) == stored(redis, RESULTS) == []


@pytest.mark.parametrize("other", [
    lambda queue, redis, job: queue.cancel(job.id),
    lambda queue, redis, job: requeue(make_queue(redis), job.id, None, blame=False)])
def test_a_worker_that_slept_after_taking_a_job_leaves_it_to_the_others(queue: JobQueue, redis: Redis,
                                                                        predictors: FakePredictors,
                                                                        other: Callable) -> None:
    queue.submit(REQUEST, photo())
    job = taken(redis)
    other(queue, redis, job)
    worker(redis, predictors=predictors).execute_job(job, make_queue(redis))
    assert predictors.asked == []
    assert make_queue(redis).intermediate_queue.get_job_ids() == []
    assert queue.read(job.id).state in ("canceled", "queued")


def test_a_job_that_ended_is_not_run_again(queue: JobQueue, redis: Redis) -> None:
    """Queued again by mistake, its image is gone: a second run would end it as lost."""
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis)
    make_queue(redis).push_job_id(job_id)
    job = taken(redis)
    worker(redis).execute_job(job, make_queue(redis))
    assert queue.read(job_id).state == "succeeded"
    assert make_queue(redis).intermediate_queue.get_job_ids() == []


def test_heartbeats_are_sent_while_a_job_runs(queue: JobQueue, redis: Redis, predictors: FakePredictors,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_S", 0.01)
    sent = threading.Event()
    monkeypatch.setattr(worker_module.Worker, "maintain_heartbeats", lambda *_: sent.set())
    predictors.answer = None
    job_id = queue.submit(REQUEST, photo()).id

    def beside() -> None:
        until(lambda: predictors.runs)
        assert sent.wait(PATIENCE_S)
        predictors.runs[0].end(PREDICTION)

    while_it_works(redis, predictors, beside)
    assert sent.is_set()
    assert queue.read(job_id).state == "succeeded"


def test_a_worker_that_was_given_up_calls_its_run_off(queue: JobQueue, redis: Redis, predictors: FakePredictors,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job was requeued while it was not heard: the next execution runs it."""
    monkeypatch.setattr(worker_module, "HEARTBEAT_S", 0.01)
    predictors.answer = None
    job_id = queue.submit(REQUEST, photo()).id

    def beside() -> None:
        until(lambda: predictors.runs)
        predictors.answer = PREDICTION
        entry: Any = redis.zrange(make_queue(redis).started_job_registry.key, 0, -1)
        requeue(make_queue(redis), job_id, entry[0].decode().partition(":")[2], blame=True)

    while_it_works(redis, predictors, beside)
    assert (len(predictors.runs), predictors.runs[0].called_off) == (2, True)
    assert queue.read(job_id).state == "succeeded"


def test_a_restart_of_the_queue_server_loses_no_result(queue: JobQueue, redis: Redis, server: fakeredis.FakeServer,
                                                       predictors: FakePredictors,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "RETRY_S", 0.01)
    tries: list[int] = []
    end = worker_module.end

    def away(*given: Any) -> bool:
        tries.append(1)
        if len(tries) < 3:
            raise QueueServerAway("restarts")
        return end(*given)

    monkeypatch.setattr(worker_module, "end", away)
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis, predictors)
    assert (len(tries), len(predictors.asked), queue.read(job_id).state) == (3, 1, "succeeded")


def test_a_queue_server_that_is_away_is_no_ones_fault(queue: JobQueue, redis: Redis, predictors: FakePredictors,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    get, tries = RedisStore.get, []

    def away(store: RedisStore, job_id: str) -> bytes:
        tries.append(1)
        if len(tries) == 1:
            raise QueueServerAway("restarts")
        return get(store, job_id)

    monkeypatch.setattr(RedisStore, "get", away)
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis, predictors)
    assert queue.read(job_id).state == "succeeded"
    assert redis.hget(Job.key_for(job_id), DEATHS) == b"0"


def test_a_full_disk_costs_the_drawings_and_not_the_result(queue: JobQueue, redis: Redis,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    job_id = queue.submit(REQUEST, photo()).id
    monkeypatch.setattr(RedisStore, "rename", full)
    work_off(redis)
    assert queue.read(job_id).state == "succeeded"


def test_a_result_that_is_too_large_to_keep_is_a_failure(queue: JobQueue, redis: Redis,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.execution.MAX_RESULT_BYTES", 50)
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis)
    outcome = queue.read(job_id).outcome
    assert outcome is not None
    assert (outcome.kind, "MB as JSON" in outcome.detail) == ("InferenceFailed", True)


def test_a_queue_server_whose_disk_is_full_is_waited_for_and_costs_no_result(
        queue: JobQueue, redis: Redis, predictors: FakePredictors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "RETRY_S", 0)
    job_id, predict = queue.submit(REQUEST, photo()).id, predictors.predict
    job, busy = taken(redis), worker(redis, predictors=predictors)
    refuse_writes(monkeypatch, times=3)  # the job cannot be registered

    def predict_and_refuse(*question: Any, **more: Any) -> Any:
        refuse_writes(monkeypatch, times=3)  # nor ended
        return predict(*question, **more)

    monkeypatch.setattr(predictors, "predict", predict_and_refuse)
    busy.execute_job(job, make_queue(redis))
    assert (queue.read(job_id).state, len(predictors.asked)) == ("succeeded", 1)
