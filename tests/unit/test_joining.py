"""Jobs that ask for the same computation: one of them is run, and each ends by itself."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from redis import Redis
from rq import Queue
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from inference.errors import CalledOff, InferenceFailed, PoisonImage, UnsupportedImage
from jobs import joining
from jobs.computation import digest
from jobs.execution import end, end_joined
from jobs.job import Outcome
from jobs.joining import resume
from jobs.queue import JobQueue
from jobs.recovery import Recovery
from jobs.results import Results
from jobs.stores.contract import ENDED
from jobs.turns import Turns, make_queue
from tests.unit.conftest import REQUEST, start_running, stored, work_off, worker
from tests.unit.fake_predictors import PREDICTION, FakePredictors
from tests.unit.images import photo
from worker import worker as worker_module
from worker.tasks import OffSwitch
from worker.worker import Worker

SAME = replace(REQUEST, computation="c" * 64)


@pytest.fixture
def rq_queue(redis: Redis) -> Turns:
    return make_queue(redis)


@pytest.fixture
def three(queue: JobQueue) -> list[str]:
    return [queue.submit(SAME, photo()).id for _ in range(3)]


@pytest.fixture
def running(three: list[str], redis: Redis) -> Execution:
    """The first of the three."""
    return start_running(redis, three[0], asked=SAME.computation)


@pytest.fixture
def deferred(three: list[str], running: Execution, redis: Redis, rq_queue: Queue) -> list[str]:
    """The others, which a second worker took meanwhile."""
    work_off(redis)
    assert rq_queue.get_job_ids() == []
    return three[1:]


def ended(queue: Queue, job_id: str) -> None:
    end_joined(queue, job_id, Outcome(), b"{}")


def states(queue: JobQueue, ids: list[str]) -> list[str]:
    return [queue.read(job_id).state for job_id in ids]


def keys(redis: Redis) -> set[bytes]:
    return {name for name in cast(list[bytes], redis.keys("*")) if b"asking" in name or b"computing" in name}


@pytest.mark.parametrize("differs", [("f", {"top_k": 5}, "i"), ("f", {"top_k": 1}, "other"), ("g", {"top_k": 1}, "i")])
def test_another_image_model_or_parameter_is_another_computation(differs: Any) -> None:
    assert digest(*differs) != digest("f", {"top_k": 1}, "i")
    assert digest("f", {"a": 1, "b": None}, "i") == digest("f", {"b": None, "a": 1}, "i")


def test_jobs_that_wait_end_with_the_one_that_is_run(queue: JobQueue, redis: Redis, three: list[str],
                                                     predictors: FakePredictors, rq_queue: Queue) -> None:
    work_off(redis, predictors)
    assert len(predictors.asked) == 1
    for record in map(queue.read, three):
        assert (record.state, record.result) == ("succeeded", PREDICTION.result)
        assert record.started_at is not None
    assert (rq_queue.get_job_ids(), keys(redis)) == ([], set())
    assert (stored(redis), set(stored(redis, ENDED))) == ([], set(three))


def test_jobs_that_ask_for_something_else_are_run_themselves(queue: JobQueue, redis: Redis,
                                                             predictors: FakePredictors) -> None:
    for request in (SAME, replace(SAME, computation="d"), REQUEST, REQUEST):
        queue.submit(request, photo())
    work_off(redis, predictors)
    assert len(predictors.asked) == 4


def test_a_job_that_is_taken_meanwhile_blocks_no_worker(queue: JobQueue, redis: Redis, deferred: list[str],
                                                        rq_queue: Turns, running: Execution) -> None:
    """RQ shows it as deferred; to its caller it waits, and it counts among those that wait."""
    assert set(rq_queue.deferred_job_registry.get_job_ids()) == set(deferred)
    record = queue.read(deferred[0])
    assert (record.state, record.queue_position) == ("queued", 1)
    assert rq_queue.look("").jobs == 2
    joining.share(running.job, Outcome(), lambda job_id: ended(rq_queue, job_id))
    assert end(rq_queue, running.job_id, running.id, Outcome(), b"{}")
    assert states(queue, [running.job_id, *deferred]) == ["succeeded"] * 3
    assert rq_queue.deferred_job_registry.get_job_ids() == []
    assert keys(redis) == set()


@pytest.mark.parametrize(("error", "asked", "state"), [
    (UnsupportedImage("no image"), 1, "failed"), (PoisonImage("it ends all"), 1, "failed"),
    (InferenceFailed("no memory"), 3, "failed"), (CalledOff("by hand"), 3, "canceled")])
def test_only_what_would_come_again_is_shared(queue: JobQueue, redis: Redis, three: list[str], error: Exception,
                                              predictors: FakePredictors, asked: int, state: str) -> None:
    predictors.answer = error
    work_off(redis, predictors)
    assert len(predictors.asked) == asked
    assert states(queue, three) == [state] * 3


def test_canceling_one_that_waits_leaves_the_others(queue: JobQueue, redis: Redis, deferred: list[str],
                                                    running: Execution, rq_queue: Queue) -> None:
    assert queue.cancel(deferred[0]).state == "canceled"
    assert rq_queue.deferred_job_registry.get_job_ids() == deferred[1:]
    assert states(queue, [running.job_id, deferred[1]]) == ["processing", "queued"]


def test_canceling_the_one_that_is_run_leaves_the_run_to_the_others(
        queue: JobQueue, redis: Redis, three: list[str], predictors: FakePredictors,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_S", 0.05)
    predictors.answer = None

    def beside() -> None:
        until(lambda: predictors.runs)
        assert queue.cancel(three[0]).state == "canceled"
        time.sleep(0.3)  # heartbeats
        assert not predictors.runs[0].called_off
        predictors.runs[0].end(PREDICTION)

    while_it_works(redis, predictors, beside)
    assert len(predictors.runs) == 1
    assert states(queue, three) == ["canceled", "succeeded", "succeeded"]
    assert keys(redis) == set()
    assert redis.zcard("rq:wip:punnet") == 0


def test_the_run_is_called_off_when_the_last_one_is_canceled(queue: JobQueue, redis: Redis, three: list[str],
                                                             predictors: FakePredictors,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_S", 0.05)
    predictors.answer = None

    def beside() -> None:
        until(lambda: predictors.runs)
        for job_id in three:
            assert not predictors.runs[0].called_off
            queue.cancel(job_id)
        until(lambda: predictors.runs[0].called_off)

    while_it_works(redis, predictors, beside)
    assert states(queue, three) == ["canceled"] * 3
    assert (redis.zcard("rq:wip:punnet"), keys(redis)) == (0, set())


def test_a_result_that_finds_no_room_is_not_shared(queue: JobQueue, redis: Redis, three: list[str],
                                                   predictors: FakePredictors, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are computed themselves, when there may be room again."""
    put = Results.put

    def full(self: Results, job_id: str, result: bytes) -> bytes:
        if job_id != three[len(predictors.asked) - 1]:
            raise OSError("no space left on device")
        return put(self, job_id, result)

    monkeypatch.setattr(Results, "put", full)
    work_off(redis, predictors)
    assert states(queue, three) == ["succeeded"] * 3
    assert len(predictors.asked) == 3


@pytest.mark.parametrize("over", [
    lambda queue, running: Recovery(queue, "pool").look(()),  # its worker died
    lambda queue, running: end(queue, running.job_id, running.id, Outcome(kind="Deadline"))])
def test_one_of_the_others_is_run_where_it_came_to_no_end(queue: JobQueue, redis: Redis, rq_queue: Queue,
                                                          deferred: list[str], running: Execution,
                                                          over: Callable[[Queue, Execution], object],
                                                          predictors: FakePredictors) -> None:
    resume(rq_queue, lambda _: None)
    assert rq_queue.get_job_ids() == []
    over(rq_queue, running)
    resume(rq_queue, lambda _: None)
    assert rq_queue.get_job_ids()[0] in deferred
    work_off(redis, predictors)
    assert len(predictors.asked) == 1
    assert states(queue, deferred) == ["succeeded", "succeeded"]
    assert keys(redis) == set()


def test_what_a_killed_worker_did_not_share_any_more_is_run(queue: JobQueue, redis: Redis, rq_queue: Queue,
                                                            deferred: list[str], running: Execution,
                                                            predictors: FakePredictors) -> None:
    """It had ended its own job, or one of the others."""
    ended(rq_queue, deferred[0])
    end(rq_queue, running.job_id, running.id, Outcome(), b"{}")
    resume(rq_queue, lambda _: None)
    work_off(redis, predictors)
    assert states(queue, [running.job_id, *deferred]) == ["succeeded"] * 3
    assert len(predictors.asked) == 1


def test_a_deferred_job_ends_when_its_callers_time_is_over(queue: JobQueue, redis: Redis, rq_queue: Queue,
                                                           running: Execution) -> None:
    late = queue.submit(replace(SAME, deadline_s=60), photo()).id
    work_off(redis)
    redis.zadd("rq:deferred:punnet", {late: time.time() - 1})
    forgotten: list[str] = []
    resume(rq_queue, forgotten.append)
    record = queue.read(late)
    assert (record.state, record.outcome and record.outcome.kind, forgotten) == ("failed", "Deadline", [late])


def test_what_a_tool_deletes_is_forgotten(redis: Redis, rq_queue: Queue, deferred: list[str], running: Execution,
                                          queue: JobQueue, predictors: FakePredictors) -> None:
    redis.delete(Job.key_for(deferred[0]))
    resume(rq_queue, lambda _: None)
    assert rq_queue.deferred_job_registry.get_job_ids() == deferred[1:]
    Job.fetch(running.job_id, redis, JSONSerializer).delete()
    resume(rq_queue, lambda _: None)
    work_off(redis, predictors)
    assert states(queue, deferred[1:]) == ["succeeded"]


def test_two_workers_that_take_both_at_once_compute_once(queue: JobQueue, redis: Redis, three: list[str],
                                                         rq_queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second begins between the first one's look and its transaction."""
    first, second = worker(redis, "pool.first"), worker(redis, "pool.second")
    for _ in range(2):
        redis.lmove(rq_queue.key, rq_queue.intermediate_queue_key)
    set_state, began = Worker.set_state, list[Execution | None]()

    def meanwhile(self: Worker, *args: Any, **options: Any) -> None:
        if self is first and not began:
            began.append(second._begin(three[1], OffSwitch(), SAME.computation))
        set_state(self, *args, **options)

    monkeypatch.setattr(Worker, "set_state", meanwhile)
    assert first._begin(three[0], OffSwitch(), SAME.computation) is None
    assert began[0] is not None
    assert states(queue, three[:2]) == ["queued", "processing"]


def test_a_job_that_comes_while_the_end_is_shared_is_answered_too(queue: JobQueue, redis: Redis, three: list[str],
                                                                  predictors: FakePredictors,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[str] = []

    def slow(*given: Any) -> bool:
        if not late:
            late.append(queue.submit(SAME, photo()).id)
        return end_joined(*given)

    monkeypatch.setattr(worker_module, "end_joined", slow)
    work_off(redis, predictors)
    assert states(queue, [*three, *late]) == ["succeeded"] * 4
    assert len(predictors.asked) == 1


def until(seen: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def while_it_works(redis: Redis, predictors: FakePredictors, beside: Callable[[], object]) -> None:
    """Work off what waits, with `beside` in another thread."""
    failed: list[BaseException] = []

    def checked() -> None:
        try:
            beside()
        except BaseException as error:
            failed.append(error)
            for run in predictors.runs:
                run.end(PREDICTION)
            predictors.answer = PREDICTION

    thread = threading.Thread(target=checked)
    thread.start()
    work_off(redis, predictors)
    thread.join(20)
    assert failed == []
