"""Inline calls that outlast their time, behind Flask's test client; their fake runs end when the test says so."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import fakeredis
import pytest
from flask.testing import FlaskClient
from redis import Redis

from inference.errors import PredictorsAway, SlowToDecode, UnsupportedImage
from jobs.errors import JobNotFound, NotInTime
from jobs.job import JobRecord
from jobs.queue import JobQueue
from tests.unit.conftest import MakeClient, services_of, work_off
from tests.unit.fake_predictors import DRAWN, PREDICTION, RESULT, FakePredictors
from tests.unit.images import photo

BUDGET_MS = 20  # a call has twice as much patience
SOON_S = 0.2
PATIENCE_S = 20
HOUR_MS = 3_600_000.0  # longer than any test


@pytest.fixture
def client(make_client: MakeClient, predictors: FakePredictors) -> FlaskClient:
    predictors.answer = None
    return make_client(inline_budget_ms=BUDGET_MS)


def post(client: FlaskClient, query: str = "", **headers: str) -> Any:
    return client.post(f"/predict?model_type=leaf&{query}", data=photo(), content_type="image/jpeg", headers=headers)


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.005)


def ended(client: FlaskClient, url: str) -> Any:
    return client.get(f"{url}?wait={PATIENCE_S}").get_json()


def test_what_runs_goes_on_as_a_job_and_is_not_run_twice(client: FlaskClient, predictors: FakePredictors) -> None:
    answer = post(client)
    assert (answer.status_code, answer.get_json()["state"]) == (202, "processing")
    predictors.runs[0].end(PREDICTION)
    job = ended(client, answer.headers["Location"])
    assert (job["state"], job["result"], job["model_version"]) == ("succeeded", RESULT, "1")
    assert (len(predictors.asked), predictors.runs[0].called_off) == (1, False)


@pytest.mark.parametrize(("query", "headers"), [("mode=sync", {}), ("", {"Prefer": "wait=1"})])
def test_who_waits_is_held_no_longer_for_the_time_that_was_inline(make_client: MakeClient, query: str,
                                                                  headers: dict[str, str], predictors: FakePredictors,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    predictors.answer, waits = None, []

    def wait(record: JobRecord, timeout_s: float, is_wanted: Callable[[], bool]) -> JobRecord:
        waits.append(timeout_s)
        return record

    client = make_client(inline_budget_ms=BUDGET_MS, wait_max_s=1)
    monkeypatch.setattr(services_of(client).following, "wait", wait)
    assert post(client, query, **headers).status_code == 202
    assert waits[0] <= 1 - 2 * BUDGET_MS / 1000
    predictors.runs[0].end(PREDICTION)


def test_who_waited_inline_for_too_long_gets_what_is_there(make_client: MakeClient, predictors: FakePredictors) -> None:
    predictors.answer = None
    answer = post(make_client(inline_budget_ms=BUDGET_MS, wait_max_s=0.001), "mode=sync")
    assert (answer.status_code, answer.get_json()["state"]) == (202, "processing")
    predictors.runs[0].end(PREDICTION)


def test_the_times_of_what_began_before_its_job_add_up(client: FlaskClient, predictors: FakePredictors) -> None:
    url = post(client).headers["Location"]
    phases = dict.fromkeys(("decode", "preprocess", "inference", "postprocess"), HOUR_MS)
    predictors.runs[0].end(replace(PREDICTION, timings_ms=phases, queue_ms=HOUR_MS / 2))
    assert ended(client, url)["timings_ms"] == {"queue": HOUR_MS / 2, **phases, "total": 4.5 * HOUR_MS}


def test_a_promoted_run_counts_as_open_and_waiting_work_until_it_ends(client: FlaskClient,
                                                                     predictors: FakePredictors) -> None:
    service = services_of(client)
    post(client)
    until(lambda: service.waiting.ms("quick") > 0)
    assert service.drain.open_work == 1
    predictors.runs[0].end(PREDICTION)
    until(lambda: service.drain.open_work == 0)
    assert service.waiting.ms("quick") == 0


def test_a_refusal_of_what_was_promoted_is_told_as_an_inline_one(client: FlaskClient,
                                                                 predictors: FakePredictors) -> None:
    url = post(client).headers["Location"]
    predictors.runs[0].end(UnsupportedImage("truncated"))
    assert (ended(client, url)["status"], client.get(f"{url}/result").status_code) == (415, 415)


def test_canceling_a_promoted_job_calls_its_run_off(client: FlaskClient, predictors: FakePredictors) -> None:
    url = post(client).headers["Location"]
    assert client.delete(url).get_json()["state"] == "canceled"
    until(lambda: predictors.runs[0].called_off)
    until(lambda: services_of(client).drain.open_work == 0)
    assert client.get(f"{url}/result").get_json()["type"] == "/problems/job-canceled"


def test_the_image_is_kept_before_the_end_is_told(client: FlaskClient, predictors: FakePredictors,
                                                  caplog: pytest.LogCaptureFixture) -> None:
    """The caller who waits asks for a drawing in the moment in which he hears of the end."""
    with caplog.at_level(logging.INFO):
        threading.Timer(SOON_S, lambda: predictors.runs[0].end(PREDICTION)).start()
        answer = post(client, "mode=sync", Accept="image/png")
    assert (answer.status_code, answer.data) == (200, DRAWN)
    assert "fail" not in caplog.text


def test_what_has_not_begun_goes_to_the_queue(client: FlaskClient, predictors: FakePredictors, redis: Redis) -> None:
    predictors.begin = False
    answer = post(client)
    assert (answer.status_code, answer.get_json()["state"]) == (202, "queued")
    assert predictors.runs[0].called_off
    work_off(redis)
    assert ended(client, answer.headers["Location"])["state"] == "succeeded"


@pytest.mark.parametrize("begun", [True, False])
def test_where_the_queue_is_away_the_run_goes_on_inline(client: FlaskClient, predictors: FakePredictors,
                                                        server: fakeredis.FakeServer, begun: bool) -> None:
    predictors.begin, server.connected = begun, False
    threading.Timer(SOON_S, lambda: predictors.runs[0].end(PREDICTION)).start()
    answer = post(client)
    assert (answer.status_code, answer.get_json()["route"]) == (200, "inline")


def test_a_run_whose_caller_is_refused_is_called_off(client: FlaskClient, predictors: FakePredictors,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise JobNotFound("gone")

    monkeypatch.setattr(JobQueue, "promote", refuse)
    assert post(client).status_code == 404
    assert predictors.runs[0].called_off


def test_what_could_not_begin_in_time_as_a_job_stays_in_the_inline_line(client: FlaskClient, predictors: FakePredictors,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotInTime("the jobs before it take too long")

    monkeypatch.setattr(JobQueue, "submit", refuse)
    predictors.begin = False
    threading.Timer(SOON_S, lambda: predictors.runs[0].end(PREDICTION)).start()
    assert post(client).get_json()["route"] == "inline"


def test_without_predictors_a_promoted_job_is_left_to_the_workers(client: FlaskClient,
                                                                  predictors: FakePredictors) -> None:
    url = post(client).headers["Location"]
    predictors.runs[0].end(PredictorsAway("nobody listens"))
    until(lambda: services_of(client).drain.open_work == 0)
    assert client.get(url).get_json()["state"] == "processing"


def test_a_promoted_job_that_is_slow_to_decode_waits_for_a_worker(client: FlaskClient,
                                                                  predictors: FakePredictors) -> None:
    url = post(client).headers["Location"]
    predictors.runs[0].end(SlowToDecode("it takes too long"))
    until(lambda: client.get(url).get_json()["state"] == "queued")


def test_an_end_is_told_again_until_the_queue_server_hears_it(client: FlaskClient, predictors: FakePredictors,
                                                              server: fakeredis.FakeServer,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.promotion.RETRY_S", 0.01)
    url = post(client).headers["Location"]
    server.connected = False
    predictors.runs[0].end(PREDICTION)
    time.sleep(SOON_S)
    server.connected = True
    assert ended(client, url)["state"] == "succeeded"
