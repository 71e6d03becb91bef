"""Idempotency-Key: the same request, sent again, gets the same job or answer, whatever becomes of the first one."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import fakeredis
import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from api.idempotency import MAX_KEPT_BYTES, key_of
from api.problems import BadRequest
from inference.errors import InferenceFailed, NotDrawable, PoisonImage, PredictorsAway, UnsupportedImage
from jobs import idempotency
from jobs.errors import KeyInUse, QueueUnavailable
from jobs.execution import end
from jobs.idempotency import LEASE_S, Claim, Claims, Known
from jobs.job import Outcome
from jobs.queue import JobQueue
from jobs.turns import make_queue
from tests.unit.conftest import REQUEST, MakeClient, services_of, start_running, stored, work_off
from tests.unit.fake_predictors import PREDICTION, FakePredictors
from tests.unit.images import photo, png_header

KEY = {"Idempotency-Key": "one"}


def post(client: FlaskClient, query: str = "", image: bytes = b"", **headers: str) -> TestResponse:
    return client.post(f"/predict?model_type=leaf&{query}", data=image or photo(), content_type="image/jpeg",
                       headers=KEY | {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(("header", "key"), [
    (None, ""), ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ('"two words"', "two words"), (r'"a\"b\\c"', r'a"b\c'), (" a/b=c; ", "a/b=c;"), ("x" * 255, "x" * 255)])
def test_a_key_is_bare_or_in_quotes(header: str | None, key: str) -> None:
    assert key_of(header) == key


@pytest.mark.parametrize("header", ["", " ", '""', "two words", "one,another", "x" * 256, '"' + "x" * 256 + '"', 'a"b',
                                    "ü", '"open'])
def test_another_key_is_malformed(header: str) -> None:
    with pytest.raises(BadRequest, match="Idempotency-Key"):
        key_of(header)


def test_an_inline_answer_is_given_again(client: FlaskClient, predictors: FakePredictors) -> None:
    first, second = post(client), post(client, Idempotency_Key='"one"', X_Request_ID="again")
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.data == first.data
    assert second.headers["Server-Timing"] == first.headers["Server-Timing"]
    assert second.headers["X-Request-ID"] == "again"
    assert len(predictors.asked) == 1


def test_a_drawing_is_given_again(client: FlaskClient, predictors: FakePredictors) -> None:
    first, second = (post(client, Accept="image/png") for _ in range(2))
    assert (second.data, second.mimetype) == (first.data, "image/png")
    assert len(predictors.drawn) == 1


def test_it_is_the_same_request_however_the_image_is_sent(client: FlaskClient, predictors: FakePredictors) -> None:
    post(client)
    again = client.post("/models/leaf/predict", data={"img_file": "leaf.jpg", "top_k": "5"}, headers=KEY)
    assert again.status_code == 200
    assert len(predictors.asked) == 1


@pytest.mark.parametrize("other", [
    lambda client: post(client, image=photo() + b"x"), lambda client: post(client, "top_k=1"),
    lambda client: post(client, Accept="image/png"),
    lambda client: client.post("/predict?model_type=embedder", data=photo(), content_type="image/jpeg", headers=KEY)])
def test_the_same_key_with_another_request_is_422(client: FlaskClient, other: Callable) -> None:
    post(client)
    answer = other(client)
    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/bad-parameter")
    assert post(client).status_code == 200


def test_keys_are_each_owners_own(make_client: MakeClient, predictors: FakePredictors) -> None:
    client = make_client(api_keys="me:mine,you:yours")
    assert post(client, X_API_Key="mine").status_code == 200
    assert post(client, "top_k=1", X_API_Key="yours").status_code == 200


def test_a_job_is_given_again_as_the_mode_asks(client: FlaskClient, redis: Redis) -> None:
    first, second = post(client, "mode=async"), post(client, "mode=async")
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.headers["Location"] == first.headers["Location"]
    work_off(redis)
    waited = post(client, "mode=sync")
    assert (waited.status_code, waited.get_json()["id"]) == (200, first.get_json()["id"])
    assert post(client, "mode=async").get_json()["id"] == first.get_json()["id"]
    assert len(stored(redis, "ended")) == 1


def test_while_the_first_is_under_way_it_is_409(client: FlaskClient, predictors: FakePredictors) -> None:
    predictors.answer = None
    answers: list[TestResponse] = []
    thread = threading.Thread(target=lambda: answers.append(post(client)))
    thread.start()
    until(lambda: predictors.runs)
    refused = post(client.application.test_client())
    assert (refused.status_code, refused.get_json()["type"]) == (409, "/problems/conflict")
    assert int(refused.headers["Retry-After"]) > 0
    assert post(client.application.test_client(), "top_k=1").status_code == 422
    predictors.runs[0].end(PREDICTION)
    thread.join(20)
    assert post(client).data == answers[0].data


@pytest.mark.parametrize("error", [UnsupportedImage("no image")])
def test_a_refusal_that_would_come_again_is_remembered(client: FlaskClient, predictors: FakePredictors,
                                                       error: Exception) -> None:
    predictors.answer = error
    first, second = post(client), post(client)
    for answer in (first, second):
        assert (answer.status_code, answer.get_json()["detail"]) == (415, "no image")
    assert len(predictors.asked) == 1


def test_a_refusal_is_given_again_with_its_headers(client: FlaskClient, predictors: FakePredictors) -> None:
    predictors.drawing = NotDrawable("it lacks boxes")
    answers = [post(client, Accept="image/png") for _ in range(2)]
    assert [(answer.status_code, answer.headers["Vary"]) for answer in answers] == [(406, "Accept")] * 2


@pytest.mark.parametrize("error", [InferenceFailed("no memory"), PredictorsAway("away"), PoisonImage("it ends all")])
def test_trouble_is_not_remembered(client: FlaskClient, predictors: FakePredictors, error: Exception) -> None:
    predictors.answer = error
    assert post(client).status_code >= 500
    predictors.answer = PREDICTION
    assert post(client).status_code == 200


def test_what_is_refused_before_anything_runs_takes_no_key(client: FlaskClient) -> None:
    assert post(client, image=png_header(20_000, 10_000)).status_code == 422
    assert post(client).status_code == 200


@pytest.mark.parametrize(("kind", "status"), [
    ("InferenceFailed", 500), ("WorkerLost", 500), ("PoisonImage", 500), ("Deadline", 504), ("UnsupportedImage", 415)])
def test_a_job_is_given_again_however_it_ended(client: FlaskClient, redis: Redis, kind: str, status: int) -> None:
    first = post(client, "mode=async").get_json()["id"]
    end(make_queue(redis), first, start_running(redis, first).id, Outcome(kind=kind, detail="as the worker said"))
    again, waited = post(client, "mode=async"), post(client, "mode=sync")
    assert (again.status_code, again.get_json()["id"], again.get_json()["status"]) == (202, first, status)
    assert (waited.status_code, waited.get_json()["detail"]) == (status, "as the worker said")
    assert redis.llen("rq:queue:punnet") == 0


def test_a_canceled_job_is_given_again(client: FlaskClient) -> None:
    url = post(client, "mode=async").headers["Location"]
    client.delete(url)
    assert post(client, "mode=async").headers["Location"] == url
    assert post(client, "mode=sync").status_code == 410


def test_a_job_that_ended_at_its_callers_timeout_is_given_again(make_client: MakeClient, redis: Redis) -> None:
    client = make_client(quick_ms=0, inline_budget_ms=0)
    late = post(client, "mode=sync&timeout=50ms")
    first = post(client, "mode=async").get_json()
    assert (late.status_code, first["status"]) == (504, 504)
    assert redis.llen("rq:queue:punnet") == 0


def test_a_large_answer_is_computed_again(client: FlaskClient, predictors: FakePredictors, redis: Redis) -> None:
    predictors.answer = replace(PREDICTION, result=b'{"mask": "%s"}' % (b"x" * MAX_KEPT_BYTES))
    assert post(client).get_json()["result"] == post(client).get_json()["result"]
    assert len(predictors.asked) == 2
    assert post(client, "top_k=1").status_code == 422
    [name] = redis.keys("punnet:idempotency:*")
    assert sum(map(len, redis.hgetall(name).values())) < 200
    assert 0 < redis.ttl(name) <= 3600


def test_without_the_queue_server_nothing_is_promised(client: FlaskClient, server: fakeredis.FakeServer) -> None:
    server.connected = False
    answer = post(client)
    assert (answer.status_code, answer.get_json()["type"]) == (503, "/problems/queue-unavailable")
    assert post(client, Idempotency_Key="").status_code == 400


@pytest.fixture
def claims(redis: Redis) -> Claims:
    return Claims(redis, "punnet", 3600)


def test_the_key_of_a_web_process_that_died_becomes_free(claims: Claims, redis: Redis) -> None:
    claim = claims.claim("", "one", "asked")
    assert isinstance(claim, Claim)
    assert 0 < redis.pttl(claim.name) <= LEASE_S * 1000
    redis.pexpire(claim.name, 1)
    until(lambda: not redis.exists(claim.name))
    assert isinstance(claims.claim("", "one", "asked"), Claim)


def test_who_lost_the_claim_changes_nothing(claims: Claims, redis: Redis, queue: JobQueue) -> None:
    """Its web process slept for too long; another request has the key by now."""
    lost = claims.claim("", "one", "asked")
    assert isinstance(lost, Claim)
    redis.delete(lost.name)
    assert isinstance(claims.claim("", "one", "asked"), Claim)
    claims.renew(lost)
    claims.keep(lost, {"body": "late"})
    claims.free(lost)
    known = claims.claim("", "one", "asked")
    assert isinstance(known, Known) and known.under_way
    with pytest.raises(KeyInUse):
        queue.submit(replace(REQUEST, claim=lost), photo())
    assert (stored(redis), redis.llen("rq:queue:punnet")) == ([], 0)


def test_a_claim_is_renewed_while_its_request_is_under_way(client: FlaskClient, predictors: FakePredictors,
                                                           redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "RENEW_S", 0.01)
    services_of(client).claims.start()
    predictors.answer = None
    thread = threading.Thread(target=post, args=(client,))
    thread.start()
    until(lambda: redis.keys("punnet:idempotency:*"))
    [name] = redis.keys("punnet:idempotency:*")
    redis.pexpire(name, 5000)
    until(lambda: redis.pttl(name) > 5000)
    predictors.runs[0].end(PREDICTION)
    thread.join(20)
    assert services_of(client).claims._held == set()


def test_a_job_whose_acceptance_was_not_heard_of_is_given_to_the_next(client: FlaskClient, redis: Redis,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue server took it, and its answer was lost."""
    read = JobQueue.submit

    def lost(self: JobQueue, *given: Any) -> Any:
        read(self, *given)
        raise QueueUnavailable("lost")

    monkeypatch.setattr(JobQueue, "submit", lost)
    assert post(client, "mode=async").status_code == 503
    monkeypatch.setattr(JobQueue, "submit", read)
    assert post(client, "mode=async").status_code == 202
    assert redis.llen("rq:queue:punnet") == 1



def until(seen: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.001)
