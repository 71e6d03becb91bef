"""Every problem document of the contract that needs no real server."""

import json
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from api.problems import PROBLEMS
from inference import errors
from inference.errors import InferenceError, InferenceFailed, UnsupportedImage
from jobs.execution import end
from jobs.job import Outcome
from jobs.turns import make_queue
from tests.unit.conftest import MakeClient, services_of, start_running, work_off
from tests.unit.fake_predictors import FakePredictors
from tests.unit.images import photo, png_header

Call = Callable[[FlaskClient], TestResponse]
JPEG = "image/jpeg"
FORM = "application/x-www-form-urlencoded"


def raw(query: str = "model_type=leaf", image: bytes = b"", content_type: str = JPEG, **headers: str) -> Call:
    return lambda client: client.post(f"/predict?{query}", data=image or photo(), content_type=content_type,
                                      headers={name.replace("_", "-"): value for name, value in headers.items()})


def get(path: str, **headers: str) -> Call:
    return lambda client: client.get(path, headers=headers)


def check(answer: TestResponse, status: int, slug: str) -> dict[str, Any]:
    document = answer.get_json()
    assert (answer.status_code, document["type"]) == (status, f"/problems/{slug}"), document
    assert answer.mimetype == "application/problem+json"
    assert set(document) == {"type", "title", "status", "detail", "request_id"}
    assert (document["status"], document["request_id"]) == (status, answer.headers["X-Request-ID"])
    assert document["title"]
    assert document["detail"]
    assert (status in (429, 503)) == ("Retry-After" in answer.headers)
    return document


@pytest.mark.parametrize(("call", "status", "slug"), [
    (raw(query=""), 400, "bad-request"), (raw(query="model_type="), 400, "bad-request"),
    (raw("model_type=leaf&mode=later"), 400, "bad-request"), (raw("model_type=leaf&model_type=b"), 400, "bad-request"),
    (lambda client: client.post("/predict", data={"model_type": "leaf"}), 400, "bad-request"),
    (lambda client: client.post("/predict", json={"model_type": ["leaf"], "image": "AAAA"}), 400, "bad-request"),
    (lambda client: client.post("/predict", json={"model_type": "leaf", "image": "http://x/y"}), 400, "bad-request"),
    (get("/jobs/x?wait=soon"), 400, "bad-request"),
    (get("/nothing"), 404, "not-found"), (get("/jobs/x/y"), 404, "not-found"),
    (raw("model_type=moon"), 404, "model-not-found"), (raw("model_type=empty"), 404, "model-not-found"),
    (raw("model_type=late"), 503, "model-loading"),
    (lambda client: client.post("/predict", json={"model_type": "\ud800", "image": "AAAA"}), 404, "model-not-found"),
    (get("/models/moon"), 404, "model-not-found"),
    (lambda client: client.post("/predict", data={"model_type": "leaf", "img_file": "../x"}), 404, "image-not-found"),
    (get("/jobs/x"), 404, "job-not-found"), (get("/jobs/x/result"), 404, "job-not-found"),
    (lambda client: client.delete("/jobs/x"), 404, "job-not-found"),
    (get("/predict"), 405, "method-not-allowed"), (lambda client: client.post("/models"), 405, "method-not-allowed"),
    (raw(Accept="text/html"), 406, "not-acceptable"), (get("/jobs/x/result", Accept="text/csv"), 406, "not-acceptable"),
    (raw(image=b"x" * 2_000_001), 413, "too-large"),
    (raw(image=b"no image"), 415, "unsupported-image"),
    (raw(content_type=FORM, image=b"\xff\xd8\xff"), 415, "unsupported-media-type"),
    (raw(content_type="text/plain"), 415, "unsupported-media-type"),
    (raw(image=png_header(20_000, 10_000)), 422, "too-many-pixels"),
    (raw("model_type=leaf&top_k=x"), 422, "bad-parameter"), (raw("model_type=leaf&topk=1"), 422, "bad-parameter"),
    (raw(Idempotency_Key="two words"), 400, "bad-request"),
    (raw("model_type=leaf&webhook=http://x"), 422, "bad-parameter"),
])
def test_a_problem_is_told_as_the_contract_says(make_client: MakeClient, call: Call, status: int, slug: str) -> None:
    check(call(make_client(max_upload_mb=2)), status, slug)


def test_who_names_no_model_is_told_those_that_are_served_or_load(client: FlaskClient) -> None:
    detail = check(raw(query="")(client), 400, "bad-request")["detail"]
    assert detail == "field model_type is missing; there is: embedder, late, leaf"


@pytest.mark.parametrize(("method", "path", "allowed", "told"), [
    ("GET", "/predict", "OPTIONS, POST", "/predict does not take GET; it takes OPTIONS, POST: post an image"),
    ("PUT", "/models/leaf/predict", "OPTIONS, POST", "it takes OPTIONS, POST: post an image"),
    ("POST", "/jobs/x", "DELETE, GET, HEAD, OPTIONS", "POST; it takes DELETE, GET, HEAD, OPTIONS")])
def test_the_allowed_methods_are_told(client: FlaskClient, method: str, path: str, allowed: str, told: str) -> None:
    answer = client.open(path, method=method)
    assert answer.headers["Allow"] == allowed
    assert answer.get_json()["detail"].endswith(told)


def test_an_image_that_no_predictor_has_room_for_is_refused_before_it_runs(make_client: MakeClient,
                                                                          predictors: FakePredictors) -> None:
    document = check(raw(image=png_header(6_000, 4_000))(make_client(decoded_mb=64)), 422, "too-many-pixels")
    assert "PUNNET_DECODED_MB" in document["detail"]
    assert predictors.asked == []


def test_work_that_is_refused_inline_is_refused_as_a_job_in_the_same_way(client: FlaskClient, redis: Redis,
                                                                         predictors: FakePredictors) -> None:
    predictors.answer = UnsupportedImage("the JPEG image cannot be decoded: truncated")
    inline = check(raw()(client), 415, "unsupported-image")
    job = raw("model_type=leaf&mode=async")(client).get_json()
    work_off(redis, predictors)
    as_job = check(client.get(job["urls"]["result"]), 415, "unsupported-image")
    ended = client.get(job["urls"]["get"]).get_json()
    assert (ended["status"], ended["state"], ended["error"]["type"]) == (415, "failed", inline["type"])
    assert as_job["detail"] == ended["error"]["detail"] == inline["detail"]


@pytest.mark.parametrize(("error", "status", "slug"), [
    (errors.PoisonImage, 500, "poison-image"), (errors.PredictorsAway, 503, "busy"), (errors.Overdue, 504, "deadline"),
    (errors.ModelLoading, 503, "model-loading"), (errors.TooManyPixels, 422, "too-many-pixels"),
    (errors.CalledOff, 499, "caller-gone")])
def test_what_a_predictor_refuses_is_told(client: FlaskClient, predictors: FakePredictors, error: type[InferenceError],
                                          status: int, slug: str) -> None:
    predictors.answer = error("as it said")
    assert check(raw()(client), status, slug)["detail"] == "as it said"


@pytest.mark.parametrize(("error", "told"), [
    (InferenceFailed("the model failed: on purpose"), "on purpose"),
    (InferenceFailed("no len of <a.B object at 0x7f01> for <function f at 0x7F0a>: why"), "no len of for: why"),
    (ZeroDivisionError("secret"), "ZeroDivisionError"),
])
def test_a_failed_inference_is_told_without_the_inside(client: FlaskClient, predictors: FakePredictors,
                                                       error: Exception, told: str) -> None:
    predictors.answer = error
    document = check(raw()(client), 500, "inference-failed")
    assert told in document["detail"]
    assert "secret" not in json.dumps(document)


def test_a_full_queue_says_so(make_client: MakeClient) -> None:
    client = make_client(queue_max_jobs=1)
    raw("model_type=leaf&mode=async")(client)
    answer = raw("model_type=leaf&mode=async")(client)
    check(answer, 429, "queue-full")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("call", [raw("model_type=leaf&mode=async"), get("/jobs/x"), get("/jobs/x/result?wait=5"),
                                  lambda client: client.delete("/jobs/x")])
def test_a_queue_server_that_is_away_is_told(client: FlaskClient, server: fakeredis.FakeServer, call: Call) -> None:
    server.connected = False
    check(call(client), 503, "queue-unavailable")


@pytest.mark.parametrize(("call", "open"), [
    (get("/readyz"), False), (raw(), False), (raw("model_type=leaf&mode=async"), False), (get("/livez"), True),
    (get("/models"), True)])
def test_draining_takes_no_new_work(client: FlaskClient, call: Call, open: bool) -> None:
    services_of(client).drain.active = True
    if open:
        assert call(client).status_code == 200
    else:
        check(call(client), 503, "draining")


@pytest.mark.parametrize("call", [get("/readyz"), raw()])
def test_a_service_that_knows_no_models_yet_is_starting(client: FlaskClient, call: Call) -> None:
    services_of(client).settings.state.catalogue.unlink()
    check(call(client), 503, "starting")


def test_a_process_full_of_bodies_is_busy(make_client: MakeClient) -> None:
    client = make_client(inflight_mb=32)
    services_of(client).in_flight.reserve(32_000_000, "127.0.0.1")
    check(raw()(client), 503, "busy")


def test_a_shut_image_root_says_so(make_client: MakeClient) -> None:
    answer = make_client(image_root=None).post("/predict", data={"model_type": "leaf", "img_file": "leaf.jpg"})
    assert "turned off" in check(answer, 404, "image-not-found")["detail"]


@pytest.mark.parametrize("kind", ["Deadline", "WorkerLost"])
def test_what_only_jobs_know_is_told_too(client: FlaskClient, redis: Redis, kind: str) -> None:
    job = raw("model_type=leaf&mode=async")(client).get_json()
    execution = start_running(redis, job["id"])
    end(make_queue(redis), job["id"], execution.id, Outcome(kind=kind, detail="as the worker said"))
    expected = PROBLEMS[kind]
    check(client.get(job["urls"]["result"]), expected.status, expected.slug)
    assert client.get(job["urls"]["get"]).get_json()["status"] == expected.status


def test_slugs_and_statuses_are_those_of_the_contract() -> None:
    assert {problem.slug: problem.status for problem in PROBLEMS.values()} == {
        "bad-request": 400, "unauthorized": 401, "forbidden": 403, "not-found": 404, "model-not-found": 404,
        "image-not-found": 404, "job-not-found": 404, "method-not-allowed": 405, "not-acceptable": 406, "too-slow": 408,
        "conflict": 409, "job-expired": 410, "job-canceled": 410, "too-large": 413, "unsupported-image": 415,
        "unsupported-media-type": 415, "too-many-pixels": 422, "bad-parameter": 422, "queue-full": 429,
        "caller-gone": 499, "inference-failed": 500, "poison-image": 500, "worker-lost": 500,
        "starting": 503, "model-loading": 503,
        "draining": 503, "queue-unavailable": 503, "busy": 503, "deadline": 504}
