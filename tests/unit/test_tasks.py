import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from redis import Redis

from inference import errors
from jobs.errors import StoreAway
from jobs.images import Images
from jobs.job import DEADLINE, Outcome
from jobs.progress import note_progress
from jobs.results import LARGE_BYTES
from jobs.store import RedisStore
from jobs.turns import make_queue
from tests.unit.conftest import tasks_of
from tests.unit.fake_predictors import PREDICTION, RESULT_JSON, FakePredictors
from worker import tasks as tasks_module
from worker.tasks import OffSwitch, Task, Tasks

IMAGE = b"an image"
PATIENCE_S = 20


@pytest.fixture(autouse=True)
def image(redis: Redis) -> None:
    Images(RedisStore(redis)).put("a", IMAGE)


@pytest.fixture
def tasks(redis: Redis, predictors: FakePredictors) -> Tasks:
    return tasks_of(redis, predictors)


def task(**given: Any) -> Task:
    return Task(**{"job_id": "a", "model_type": "leaf", "parameters": {"top_k": 1}, "left_s": None,
                   "timeout_s": 60.0} | given)


def outcome(tasks: Tasks, **given: Any) -> Outcome:
    return tasks.run(task(**given), OffSwitch())[0]


def until(seen: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_answer_is_a_success_with_its_result(tasks: Tasks, predictors: FakePredictors) -> None:
    found, result = tasks.run(task(), OffSwitch())
    assert found == Outcome(model_version="1", image=PREDICTION.image, timings_ms=PREDICTION.timings_ms)
    assert result == RESULT_JSON
    asked = predictors.asked[0]
    assert (asked.route, asked.model_type, asked.parameters, asked.image) == ("job", "leaf", {"top_k": 1}, IMAGE)


@pytest.mark.parametrize("kind", ["UnsupportedImage", "TooManyPixels", "BadParameter", "ModelNotFound",
                                  "InferenceFailed", "PoisonImage"])
def test_a_refusal_bears_the_name_of_the_inline_exception(tasks: Tasks, predictors: FakePredictors, kind: str) -> None:
    predictors.answer = getattr(errors, kind)("what to do")
    assert outcome(tasks) == Outcome(kind=kind, detail="what to do")
    assert len(predictors.asked) == 1


def test_a_lost_image_is_no_reason_to_try_again(tasks: Tasks) -> None:
    found = outcome(tasks, job_id="b")
    assert found.kind == "WorkerLost"
    assert "post the image again" in found.detail


@pytest.mark.parametrize("error", [OSError("disk"), MemoryError(), RuntimeError("bug")])
def test_trouble_of_the_machinery_is_raised(tasks: Tasks, predictors: FakePredictors, error: Exception) -> None:
    predictors.answer = error
    with pytest.raises(type(error)):
        outcome(tasks)


@pytest.mark.parametrize(("away", "is_ready"), [
    (errors.PredictorsAway("nobody listens"), True), (errors.ModelLoading("loads"), True),
    (errors.ModelNotFound("none is listed"), False)])
def test_predictors_that_are_away_or_load_are_asked_again(tasks: Tasks, predictors: FakePredictors,
                                                          monkeypatch: pytest.MonkeyPatch, away: Exception,
                                                          is_ready: bool) -> None:
    monkeypatch.setattr(tasks_module, "ASK_AGAIN_S", 0.01)
    monkeypatch.setattr(tasks.catalogue, "is_ready", is_ready)
    predictors.answer = away
    threading.Timer(0.1, lambda: setattr(predictors, "answer", PREDICTION)).start()
    assert outcome(tasks).succeeded
    assert len(predictors.asked) > 1


@pytest.mark.parametrize(("given", "kind"), [
    ({"timeout_s": 0.05}, "Deadline"), ({"left_s": 0.05}, "Overdue"), ({"left_s": -1}, "Overdue"),
    ({"timeout_s": 0.05, "left_s": 60}, "Deadline")])
def test_nothing_is_waited_for_after_the_deadline(tasks: Tasks, predictors: FakePredictors, given: dict,
                                                  kind: str) -> None:
    predictors.answer = errors.PredictorsAway("nobody listens")
    found = outcome(tasks, **given)
    assert (found.kind, len(predictors.asked) > 0) == (kind, given.get("left_s", 0) >= 0)


def test_the_predictor_is_told_the_earlier_deadline(tasks: Tasks, predictors: FakePredictors,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []

    def predict(*given: Any, **named: Any) -> Any:
        told.append(given[-1])
        return FakePredictors().predict(*given, **named)

    monkeypatch.setattr(predictors, "predict", predict)
    outcome(tasks, timeout_s=30.0)
    outcome(tasks, timeout_s=30.0, left_s=10)
    assert [deadline - time.monotonic() for deadline in told] == pytest.approx([30, 10], abs=1)


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_that_is_called_off_is_canceled(tasks: Tasks, predictors: FakePredictors, begun: bool) -> None:
    """Before its run begins, or while it runs."""
    switch, found = OffSwitch(), []
    predictors.answer = None
    if not begun:
        switch.off()
    thread = threading.Thread(target=lambda: found.append(tasks.run(task(), switch)))
    thread.start()
    if begun:
        until(lambda: predictors.runs)
        switch.off()
    thread.join(PATIENCE_S)
    assert found == [(Outcome(kind="Canceled"), b"")]
    assert [run.called_off for run in predictors.runs] == [True] * begun


def test_a_run_that_begins_in_the_moment_of_calling_off_is_called_off() -> None:
    switch, run = OffSwitch(), FakePredictors()
    run.answer = None
    switch.off()
    switch.connect(run.predict("job", "leaf", {}, IMAGE))  # type: ignore[arg-type]
    assert run.runs[0].called_off


def test_a_job_that_waits_for_predictors_is_called_off_at_once(tasks: Tasks, predictors: FakePredictors,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "ASK_AGAIN_S", PATIENCE_S)
    predictors.answer = errors.PredictorsAway("nobody listens")
    switch, found = OffSwitch(), []
    thread = threading.Thread(target=lambda: found.append(tasks.run(task(), switch)[0].kind))
    thread.start()
    until(lambda: predictors.asked)
    switch.off()
    thread.join(PATIENCE_S / 2)
    assert found == ["Canceled"]


def test_progress_is_noted_when_it_grows(redis: Redis, predictors: FakePredictors,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "PROGRESS_S", 0.001)
    tasks, noted = tasks_of(redis, predictors), []
    object.__setattr__(tasks, "note_progress", lambda job_id, execution_id, done: noted.append((job_id, done)))
    predictors.answer = None
    thread = threading.Thread(target=lambda: outcome(tasks))
    thread.start()
    until(lambda: predictors.runs)
    for done in (1, 3):
        predictors.runs[0].progress = (done, 4)
        until(partial(noted.__contains__, ("a", done)))
    predictors.runs[0].end(PREDICTION)
    thread.join(PATIENCE_S)
    assert noted == [("a", 1), ("a", 3)]


@pytest.mark.parametrize(("method", "large"), [("get", False), ("put", True)])
def test_a_store_that_is_away_is_waited_for(tasks: Tasks, predictors: FakePredictors, monkeypatch: pytest.MonkeyPatch,
                                            method: str, large: bool) -> None:
    does, tries = getattr(RedisStore, method), list[int]()

    def away_twice(*given: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise StoreAway("no answer")
        return does(*given)

    monkeypatch.setattr(tasks_module, "STORE_PAUSE_S", 0)
    monkeypatch.setattr(RedisStore, method, away_twice)
    predictors.answer = replace(PREDICTION, result=bytes(LARGE_BYTES + large))
    assert outcome(tasks).succeeded
    assert (len(tries), len(predictors.asked)) == (3, 1)


def test_a_store_that_stays_away_is_waited_for_until_the_jobs_time_is_over(tasks: Tasks,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StoreAway("no answer")

    monkeypatch.setattr(tasks_module, "STORE_PAUSE_S", 0)
    monkeypatch.setattr(RedisStore, "get", away)
    assert outcome(tasks, timeout_s=0.01).kind == DEADLINE


def test_what_a_prediction_took_is_given_to_all(redis: Redis, predictors: FakePredictors) -> None:
    given: list[dict] = []
    tasks = tasks_of(redis, predictors)
    object.__setattr__(tasks, "give_costs", given.append)
    samples = (("decode PNG", (1.0, 2.0), 30.0), ("run leaf", (4.0,), 12.0))
    predictors.answer = tasks_module.Prediction(RESULT_JSON, "1", {}, {}, 0.0, samples)
    outcome(tasks)
    found = {name.rpartition(" ")[0]: rows[0][1:] for name, rows in given[0].items()}
    assert found == {part: [list(amounts), ms] for part, amounts, ms in samples}


def test_an_outcome_survives_json() -> None:
    for value in (Outcome(model_version="1", image={"width": 1}, timings_ms={"decode": 1.0}),
                  Outcome(kind="Deadline", detail="late")):
        assert Outcome.from_json(value.to_json()) == value


def test_progress_that_cannot_be_noted_hinders_nobody(redis: Redis, server: Any) -> None:
    server.connected = False
    note_progress(make_queue(redis), "a", "its", 3)
