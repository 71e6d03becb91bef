"""The application behind Flask's test client: real views, lanes and engine; a fake queue server."""

import base64
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from api.services import Services
from inference.engine import Engine
from tests.unit.conftest import LABELS, MakeClient, services_of, work_off
from tests.unit.pictures import photo

PHASES = ("queue", "decode", "preprocess", "inference", "postprocess", "total")


def post(client: FlaskClient, query: str = "", image: bytes = b"", **options: Any) -> TestResponse:
    return client.post(f"/predict?model_type=leaf&{query}", data=image or photo(),
                       **({"content_type": "image/jpeg"} | options))


def test_a_picture_is_answered_as_the_contract_says(client: FlaskClient) -> None:
    answer = post(client)
    document = answer.get_json()
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert {key: document[key] for key in ("status", "model_type", "model_version", "route", "image")} == {
        "status": 200, "model_type": "leaf", "model_version": "1", "route": "inline",
        "image": {"width": 64, "height": 48, "format": "JPEG"}}
    assert document["result"]["task"] == "image-classification"
    assert {entry["label"] for entry in document["result"]["predictions"]} == set(LABELS)
    assert re.fullmatch(r"[0-9a-f]{32}", document["id"])
    assert tuple(document["timings_ms"]) == PHASES


def test_the_server_timing_header_tells_the_same_phases(client: FlaskClient) -> None:
    answer = post(client)
    told = dict(part.split(";dur=") for part in answer.headers["Server-Timing"].split(", "))
    assert {phase: float(value) for phase, value in told.items()} == answer.get_json()["timings_ms"]


@pytest.mark.parametrize("body", [
    {"data": {"model_type": "leaf", "img_file": "leaf.jpg"}},
    {"json": {"model_type": "leaf", "image": base64.b64encode(photo()).decode()}},
    {"data": photo(), "content_type": "image/jpeg", "query_string": "model_type=leaf"},
])
def test_every_form_of_a_request_gets_the_same_answer(client: FlaskClient, body: dict) -> None:
    answer = client.post("/predict", **body)
    assert answer.status_code == 200
    assert answer.get_json()["result"] == post(client).get_json()["result"]


def test_the_model_may_be_in_the_path(client: FlaskClient) -> None:
    send: dict[str, Any] = {"data": photo(), "content_type": "image/jpeg"}
    assert client.post("/models/leaf/predict", **send).status_code == 200
    assert client.post("/models/leaf/predict?model_type=leaf", **send).status_code == 200
    assert client.post("/models/leaf/predict?model_type=moon", **send).status_code == 400


@pytest.mark.parametrize(("query", "labels"), [("top_k=1", 1), ("top_k=2", 2), ("threshold=1", 0), ("threshold=0", 2)])
def test_parameters_of_the_task_are_followed(client: FlaskClient, query: str, labels: int) -> None:
    assert len(post(client, query).get_json()["result"]["predictions"]) == labels


@pytest.mark.parametrize("given", ["abc", "A-b_c.d:e@f+g/h=i", "x" * 128])
def test_the_callers_request_id_is_kept(client: FlaskClient, given: str) -> None:
    assert client.get("/livez", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", 'quo"te', "ü"])
def test_another_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    told = client.get("/livez", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", told)


@pytest.mark.parametrize("call", [post, lambda client: client.get("/nothing"), lambda client: client.put("/predict")])
def test_every_answer_bears_an_id_and_problems_repeat_it(client: FlaskClient, call: Any) -> None:
    answer = call(client)
    assert answer.headers["X-Request-ID"] == answer.get_json().get("request_id", answer.headers["X-Request-ID"])


@pytest.mark.parametrize(("prefer", "applied"), [
    ("wait=7", "wait=7"), ("wait=600", "wait=60"), ("wait=soon", None), ("return=minimal", None)])
def test_an_applied_preference_is_told(client: FlaskClient, prefer: str, applied: str | None) -> None:
    answer = post(client, headers={"Prefer": prefer})
    assert (answer.status_code, answer.headers.get("Preference-Applied")) == (200, applied)


def test_the_models_are_listed_with_the_reason_of_the_failed(client: FlaskClient) -> None:
    failed, ready = client.get("/models").get_json()["models"]
    assert ready == {"name": "leaf", "version": "1", "state": "ready", "task": "image-classification"}
    assert (failed["name"], failed["state"]) == ("empty", "failed")
    assert "is empty" in failed["reason"]


def test_one_model_tells_all_that_is_known_of_it(client: FlaskClient) -> None:
    model = client.get("/models/leaf").get_json()
    assert (model["labels"], model["inputs"][0]["name"], model["outputs"][0]["name"]) == (
        list(LABELS), "image", "logits")
    assert model["cost"]["run_ms"] > 0
    assert {"fact": "labels", "value": list(LABELS), "source": "labels.txt"} in model["findings"]
    assert client.get("/models/empty").get_json()["state"] == "failed"


def test_health_is_told(client: FlaskClient) -> None:
    assert client.get("/livez").get_json() == {"status": "alive"}
    assert client.get("/readyz").get_json() == {"status": "ready"}


@pytest.mark.parametrize("headers", [
    {"Authorization": "Bearer k1"}, {"Authorization": "bearer k2"}, {"X-API-Key": "k2"}])
def test_a_key_opens_the_service(make_client: MakeClient, headers: dict[str, str]) -> None:
    client = make_client(api_keys="me:k1,you:k2")
    assert post(client, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic k1"}, {"X-API-Key": "K1"}, {"X-API-Key": ""},
    {"X-API-Key": "me:k1"}, {"X-API-Key": "k1k2"}, {"X-API-Key": "\xfc"},
])
@pytest.mark.parametrize("path", ["/predict", "/models", "/jobs/x", "/nothing", "/", "/metrics"])
def test_without_a_key_everything_is_closed(make_client: MakeClient, headers: dict[str, str], path: str) -> None:
    answer = make_client(api_keys="me:k1,you:k2").get(path, headers=headers)
    assert (answer.status_code, answer.get_json()["type"]) == (401, "/problems/unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_needs_no_key(make_client: MakeClient, path: str) -> None:
    assert make_client(api_keys="me:k1").get(path).status_code == 200


def test_bodies_are_given_back_whatever_came_of_them(client: FlaskClient) -> None:
    service = services_of(client)
    before = service.in_flight._left
    for image in (photo(), b"no picture"):
        post(client, image=image)
    client.post("/predict", data=b"x" * 100, content_type="image/jpeg")
    assert service.in_flight._left == before
    assert service.drain.open_requests == 0


def test_inline_work_goes_on_while_the_queue_server_is_away(client: FlaskClient, server: Any) -> None:
    server.connected = False
    assert post(client).status_code == 200
    assert client.get("/readyz").status_code == 200


def test_nothing_is_connected_or_started_before_the_fork(make_client: MakeClient) -> None:
    service: Services = services_of(make_client(start=False))
    assert all(lane._threads is None for lane in (service.lanes.quick, service.lanes.long, service.lanes.intake))


def test_the_result_of_a_job_is_that_of_an_inline_call(make_client: MakeClient, redis: Redis, engine: Engine) -> None:
    client = make_client()
    inline, job = post(client), post(client, "mode=async").get_json()
    work_off(redis, engine)
    result = client.get(job["urls"]["result"])
    assert result.status_code == 200
    assert result.get_json()["result"] == inline.get_json()["result"]
    assert set(result.get_json()) == set(inline.get_json())
    assert (result.get_json()["id"], result.get_json()["route"]) == (job["id"], "queue")
    assert "Server-Timing" in result.headers
