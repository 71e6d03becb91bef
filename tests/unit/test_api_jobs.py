"""/jobs and the answers that lead there, behind Flask's test client."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from flask.testing import FlaskClient
from redis import Redis

from inference.errors import UnsupportedImage
from jobs.acceptance import Acceptance
from jobs.errors import JobExpired
from jobs.store import RedisStore
from tests.unit.conftest import MakeClient, services_of, start_running, work_off
from tests.unit.fake_predictors import DRAWN, PREDICTION, FakePredictors
from tests.unit.images import photo

LONG_S = 60
PATIENCE_S = 20


def submit(client: FlaskClient, query: str = "mode=async", **headers: str) -> Any:
    return client.post(f"/predict?model_type=leaf&{query}", data=photo(), content_type="image/jpeg", headers=headers)


@pytest.fixture
def instant(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is done before the caller of `submit` looks again."""
    queue = Acceptance.queue

    def queue_and_work(self: Acceptance, *given: Any) -> str:
        job_id = queue(self, *given)
        work_off(redis)
        return job_id

    monkeypatch.setattr(Acceptance, "queue", queue_and_work)


def test_an_accepted_job_is_told_as_the_contract_says(client: FlaskClient) -> None:
    answer = submit(client)
    document = answer.get_json()
    url = f"/jobs/{document['id']}"
    assert (answer.status_code, answer.headers["Location"]) == (202, url)
    assert int(answer.headers["Retry-After"]) >= 1
    assert document["created_at"].endswith("Z")
    assert {key: value for key, value in document.items() if key not in ("id", "created_at", "eta_s")} == {
        "status": 202, "state": "queued", "model_type": "leaf", "queue_position": 1,
        "waiting_for": "a worker machine: none is running",
        "progress": {"done": 0, "total": 1}, "started_at": None, "completed_at": None,
        "urls": {"get": url, "result": f"{url}/result", "events": f"{url}/events", "cancel": url}}
    assert document["eta_s"] >= 0


def test_the_job_document_is_200_in_every_state(client: FlaskClient, redis: Redis) -> None:
    url = submit(client).headers["Location"]
    start_running(redis, url.removeprefix("/jobs/"))
    running = client.get(url)
    assert (running.status_code, running.get_json()["state"], running.get_json()["status"]) == (200, "processing", 202)
    assert running.get_json()["started_at"] is not None


def test_a_succeeded_job_carries_its_result(client: FlaskClient, redis: Redis) -> None:
    url = submit(client).headers["Location"]
    work_off(redis)
    document = client.get(url).get_json()
    assert (document["status"], document["state"], document["progress"]) == (200, "succeeded", {"done": 1, "total": 1})
    assert (document["queue_position"], document["eta_s"]) == (None, None)
    assert document["result"] == client.get(f"{url}/result").get_json()["result"]
    assert document["image"] == {"width": 64, "height": 48, "format": "JPEG"}
    assert document["timings_ms"]["total"] >= document["timings_ms"]["queue"]


def test_the_result_of_a_waiting_job_is_202(client: FlaskClient) -> None:
    url = submit(client).headers["Location"]
    answer = client.get(f"{url}/result")
    assert (answer.status_code, answer.headers["Location"]) == (202, url)
    assert "Retry-After" in answer.headers


def test_a_canceled_job_is_410_in_its_result(client: FlaskClient) -> None:
    url = submit(client).headers["Location"]
    canceled = client.delete(url)
    assert (canceled.status_code, canceled.get_json()["state"], canceled.get_json()["status"]) == (200, "canceled", 410)
    assert client.delete(url).get_json() == canceled.get_json()
    assert client.get(url).status_code == 200
    result = client.get(f"{url}/result")
    assert (result.status_code, result.get_json()["type"]) == (410, "/problems/job-canceled")


def test_deleting_an_ended_job_gives_its_document(client: FlaskClient, redis: Redis) -> None:
    url = submit(client).headers["Location"]
    work_off(redis)
    assert client.delete(url).get_json() == client.get(url).get_json()


def test_a_running_job_is_canceled_too(client: FlaskClient, redis: Redis) -> None:
    url = submit(client).headers["Location"]
    start_running(redis, url.removeprefix("/jobs/"))
    canceled = client.delete(url)
    assert (canceled.status_code, canceled.get_json()["state"]) == (200, "canceled")
    assert client.get(f"{url}/result").status_code == 410


@pytest.mark.parametrize("kind", ["image/png", "image/webp"])
def test_a_jobs_result_is_drawn_on_its_image(client: FlaskClient, redis: Redis, predictors: FakePredictors,
                                             kind: str) -> None:
    url = submit(client).headers["Location"]
    work_off(redis)
    answer = client.get(f"{url}/result?labels=score", headers={"Accept": kind})
    assert (answer.status_code, answer.mimetype, answer.data) == (200, kind, DRAWN)
    assert predictors.drawn == [(photo(), PREDICTION.result, kind, {"labels": "score", "scale": None})]


@pytest.mark.parametrize(("accept", "status"), [("image/png", 410), ("image/png, application/json;q=0.1", 200)])
def test_a_result_whose_image_is_kept_no_more_is_json_where_that_would_do(client: FlaskClient, redis: Redis,
                                                                          accept: str, status: int) -> None:
    url = submit(client).headers["Location"]
    work_off(redis)
    RedisStore(redis).delete(url.replace("/jobs", "ended"))
    answer = client.get(f"{url}/result", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Vary"]) == (status, "Accept")


def test_a_job_after_its_time_is_410(client: FlaskClient, redis: Redis) -> None:
    url = submit(client).headers["Location"]
    work_off(redis)
    redis.delete(f"rq:job:{url.removeprefix('/jobs/')}")
    for path in (url, f"{url}/result"):
        assert (client.get(path).status_code, client.get(path).get_json()["type"]) == (410, "/problems/job-expired")


def test_with_a_budget_of_nothing_everything_becomes_a_job(make_client: MakeClient) -> None:
    assert submit(make_client(quick_ms=0, inline_budget_ms=0), "").status_code == 202


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize(("query", "headers"), [("mode=async", {}), ("", {"Prefer": "respond-async"})])
def test_async_is_always_202_however_fast_the_worker_was(client: FlaskClient, query: str,
                                                         headers: dict[str, str]) -> None:
    answer = submit(client, query, **headers)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/jobs/{answer.get_json()['id']}"


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize(("query", "headers"), [("mode=sync", {}), ("", {"Prefer": "wait=5"})])
def test_who_waits_gets_the_answer_of_a_job_itself(make_client: MakeClient, query: str,
                                                   headers: dict[str, str]) -> None:
    answer = submit(make_client(quick_ms=0, inline_budget_ms=0), query, **headers)
    assert (answer.status_code, answer.get_json()["route"]) == (200, "queue")
    assert answer.headers.get("Preference-Applied") == headers.get("Prefer")


@pytest.mark.parametrize("query", ["mode=sync", "mode=async"])
def test_who_waits_in_vain_gets_202(make_client: MakeClient, query: str) -> None:
    answer = submit(make_client(quick_ms=0, inline_budget_ms=0, wait_max_s=0.05), query)
    assert (answer.status_code, answer.get_json()["state"]) == (202, "queued")


def test_with_mode_sync_the_header_limits_the_wait(make_client: MakeClient) -> None:
    client, began = make_client(quick_ms=0, inline_budget_ms=0), time.monotonic()
    answer = submit(client, "mode=sync", Prefer="wait=0")
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=0")
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize("path", ["", "/result"])
def test_a_caller_waits_until_his_time_is_up(client: FlaskClient, path: str) -> None:
    url, began = submit(client).headers["Location"], time.monotonic()
    assert client.get(f"{url}{path}?wait=0.05").get_json()["state"] == "queued"
    assert 0.05 <= time.monotonic() - began < PATIENCE_S


def test_who_waits_is_answered_where_the_job_stands_when_the_service_stops(client: FlaskClient) -> None:
    url = submit(client).headers["Location"]
    services_of(client).following.end()
    began = time.monotonic()
    assert client.get(f"{url}?wait={LONG_S}").get_json()["state"] == "queued"
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize("path", ["", "/result"])
def test_who_waits_hears_of_the_end(client: FlaskClient, redis: Redis, path: str) -> None:
    url = submit(client).headers["Location"]
    waiting = gevent.get_hub().threadpool.spawn(lambda: client.get(f"{url}{path}?wait={LONG_S}").get_json())
    while not services_of(client).following._followed:
        time.sleep(0.01)
    assert (services_of(client).drain.open_work, services_of(client).held.total) == (1, 1)
    assert 'punnet_callers_waiting{how="wait"} 1.0' in client.get("/metrics").text
    work_off(redis)
    assert waiting.get()["status"] == 200
    assert (services_of(client).drain.open_work, services_of(client).held.total) == (0, 0)


def test_a_result_that_is_gone_when_the_job_ends_is_told_to_who_waits(client: FlaskClient, redis: Redis,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    url = submit(client).headers["Location"]

    def end_and_lose(*_: object) -> None:
        work_off(redis)
        redis.delete(f"rq:job:{url.removeprefix('/jobs/')}")
        raise JobExpired("gone")

    monkeypatch.setattr(services_of(client).following, "wait", end_and_lose)
    assert client.get(f"{url}?wait={LONG_S}").get_json()["type"] == "/problems/job-expired"


def test_a_wait_that_cannot_be_asked_for_is_refused(client: FlaskClient) -> None:
    url = submit(client).headers["Location"]
    assert client.get(f"{url}?wait=long").status_code == 400
    assert client.get(f"/jobs/absent?wait={LONG_S}").status_code == 404


def slow_header() -> bytes:
    """1 MB of empty JPEG segments before any image: Pillow reads them one by one, for about a second."""
    return b"\xff\xd8" + b"\xff\xe1\x00\x02" * 250_000


def many_fields() -> bytes:
    """1 MB of fields: half a second to parse."""
    return b"model_type=leaf&" + b"a&" * 500_000


@pytest.mark.parametrize(("body", "content_type"), [
    (slow_header, "image/jpeg"), (many_fields, "application/x-www-form-urlencoded")])
def test_no_body_holds_up_the_other_connections(client: FlaskClient, body: Callable[[], bytes],
                                                content_type: str) -> None:
    data, ticks = body(), [time.monotonic()]

    def tick() -> None:
        while True:
            gevent.sleep(0.01)
            ticks.append(time.monotonic())

    ticking = gevent.spawn(tick)
    answer = client.post("/predict?model_type=leaf", data=data, content_type=content_type)
    gevent.sleep(0.02)
    ticking.kill()
    assert 400 <= answer.status_code < 500
    assert max(after - before for before, after in itertools.pairwise(ticks)) < 0.25


def test_behind_a_proxy_that_strips_a_path_every_url_begins_with_it(make_client: MakeClient) -> None:
    """Whatever the proxy, or anybody, says about it in a header."""
    client = make_client(url_prefix="/vision/")
    accepted = submit(client, **{"X-Forwarded-Prefix": "/evil", "X-Script-Name": "/evil"})
    url = f"/vision/jobs/{accepted.get_json()['id']}"
    assert accepted.headers["Location"] == url
    assert set(accepted.get_json()["urls"].values()) == {url, f"{url}/result", f"{url}/events"}
    stripped = url.removeprefix("/vision")
    assert client.get(f"{stripped}/result").headers["Location"] == url
    for answer in (client.get("/nothing"), client.get("/jobs/x"), client.get("/predict")):
        assert answer.get_json()["type"].startswith("/vision/problems/")


def test_a_failed_jobs_error_is_named_below_that_path_too(make_client: MakeClient, redis: Redis,
                                                          predictors: FakePredictors) -> None:
    client = make_client(url_prefix="/vision")
    predictors.answer = UnsupportedImage("it is a text")
    url = submit(client).headers["Location"].removeprefix("/vision")
    work_off(redis, predictors)
    assert client.get(url).get_json()["error"]["type"] == "/vision/problems/unsupported-image"
