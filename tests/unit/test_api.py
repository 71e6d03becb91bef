"""The application behind Flask's test client: real views, fake predictors, a fake queue server."""

import base64
import re
from dataclasses import replace
from typing import Any, Literal
from unicodedata import normalize
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

import probes
from api import answers
from inference.cost import Work
from inference.errors import NotDrawable, SlowToDecode, UnsupportedImage
from inference.registry import Entry
from predictors import catalogue
from predictors.catalogue import Listing
from tests.unit.conftest import MakeClient, in_child, services_of, work_off
from tests.unit.fake_predictors import DRAWN, LABELS, LEAF, LISTING, PREDICTION, RESULT, FakePredictors
from tests.unit.images import photo

PHASES = ("queue", "decode", "preprocess", "inference", "postprocess", "total")


def post(client: FlaskClient, query: str = "", image: bytes = b"", **options: Any) -> TestResponse:
    return client.post(f"/predict?model_type=leaf&{query}", data=image or photo(),
                       **({"content_type": "image/jpeg"} | options))


def test_an_image_is_answered_as_the_contract_says(client: FlaskClient) -> None:
    answer = post(client)
    document = answer.get_json()
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert {key: document[key] for key in document if key not in ("id", "timings_ms")} == {
        "status": 200, "model_type": "leaf", "model_version": "1", "route": "inline",
        "image": {"width": 64, "height": 48, "format": "JPEG"}, "result": RESULT}
    assert re.fullmatch(r"[0-9a-f]{32}", document["id"])
    assert tuple(document["timings_ms"]) == PHASES
    assert document["timings_ms"]["queue"] == PREDICTION.queue_ms


def test_text_is_not_escaped_and_ends_with_a_newline(client: FlaskClient) -> None:
    answer = post(client)
    assert answer.data.endswith(b',"result":' + PREDICTION.result + b"}\n")
    assert "gesünd".encode() in answer.data
    for path in ("/models", "/livez", "/nothing"):
        assert client.get(path).data.endswith(b"}\n")


@pytest.mark.parametrize("size", [10, answers.JOINED_BYTES, 5 * answers.JOINED_BYTES])
def test_a_result_of_any_size_is_sent_with_its_length(client: FlaskClient, predictors: FakePredictors,
                                                      size: int) -> None:
    predictors.answer = replace(PREDICTION, result=b'{"mask": "%s"}' % (b"x" * size))
    answer = post(client)
    assert answer.get_json()["result"] == {"mask": "x" * size}
    assert int(answer.headers["Content-Length"]) == len(answer.data)


def test_the_server_timing_header_tells_the_same_phases(client: FlaskClient) -> None:
    answer = post(client)
    told = dict(part.split(";dur=") for part in answer.headers["Server-Timing"].split(", "))
    assert {phase: float(value) for phase, value in told.items()} == answer.get_json()["timings_ms"]


@pytest.mark.parametrize("body", [
    {"data": {"model_type": "leaf", "img_file": "leaf.jpg"}},
    {"json": {"model_type": "leaf", "image": base64.b64encode(photo()).decode()}},
    {"data": photo(), "content_type": "image/jpeg", "query_string": "model_type=leaf"},
])
def test_every_form_of_a_request_asks_the_same_question(client: FlaskClient, predictors: FakePredictors,
                                                        body: dict) -> None:
    assert client.post("/predict", **body).status_code == 200
    [question] = predictors.asked
    assert (question.model_type, question.image) == ("leaf", photo())


def test_the_model_may_be_in_the_path(client: FlaskClient) -> None:
    send: dict[str, Any] = {"data": photo(), "content_type": "image/jpeg"}
    assert client.post("/models/leaf/predict", **send).status_code == 200
    assert client.post("/models/leaf/predict?model_type=leaf", **send).status_code == 200
    assert client.post("/models/leaf/predict?model_type=moon", **send).status_code == 400


@pytest.mark.parametrize(("model_type", "told"), [
    (5, "should be text"), (0, "should be text"), (False, "should be text"), ([], "should be text"),
    ({"name": "leaf"}, "should be text"), (None, "is missing"), ("", "is missing")])
def test_a_model_type_that_is_no_text_is_not_missing(client: FlaskClient, model_type: Any, told: str) -> None:
    answer = client.post("/predict", json={"model_type": model_type, "image": "AAAA"})
    assert answer.status_code == 400
    assert f"model_type {told}" in answer.get_json()["detail"]


@pytest.mark.parametrize(("query", "asked"), [
    ("", {}), ("top_k=1", {"top_k": 1}), ("threshold=0.5&top_k=2", {"threshold": 0.5, "top_k": 2})])
def test_parameters_of_the_task_are_asked_for(client: FlaskClient, predictors: FakePredictors, query: str,
                                              asked: dict) -> None:
    post(client, query)
    assert predictors.asked[-1].parameters == asked


@pytest.mark.parametrize(("quick_ms", "route"), [(10_000, "quick"), (0, "long")])
def test_the_predicted_cost_chooses_the_route(make_client: MakeClient, predictors: FakePredictors, quick_ms: float,
                                              route: str) -> None:
    assert post(make_client(quick_ms=quick_ms)).status_code == 200
    assert predictors.asked[-1].route == route


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
    _, failed, loading, ready = client.get("/models").get_json()["models"]
    assert ready == {"name": "leaf", "version": "1", "state": "ready", "task": "image-classification"}
    assert failed == {"name": "empty", "version": "1", "state": "failed", "reason": "model.onnx is empty"}
    assert loading == {"name": "late", "version": "1", "state": "loading"}


def test_one_model_tells_all_that_is_known_of_it(client: FlaskClient) -> None:
    model = client.get("/models/leaf").get_json()
    assert (model["labels"], model["inputs"][0]["name"], model["outputs"][0]["name"]) == (
        list(LABELS), "image", "logits")
    assert model["cost"]["run_ms"] > 0
    assert {"image_ms", "megapixel_ms", "megabyte_ms", "error", "samples"} == set(model["cost"]["decode"]["PNG"])
    assert {"fact": "labels", "value": list(LABELS), "source": "labels.txt"} in model["findings"]
    assert client.get("/models/empty").get_json()["state"] == "failed"


def test_health_is_told(client: FlaskClient) -> None:
    assert client.get("/livez").get_json() == {"status": "alive"}
    assert client.get("/readyz").get_json() == {"status": "ready"}


def test_our_own_commands_are_no_proxy_that_a_stop_waits_for(client: FlaskClient) -> None:
    folder = services_of(client).settings.state.probes
    client.get("/readyz", headers={"User-Agent": probes.OWN})
    assert probes.read(folder) == {}
    client.get("/readyz")
    assert len(probes.read(folder)) == 1


def test_a_model_is_served_before_the_service_is_ready(client: FlaskClient) -> None:
    service = services_of(client)
    catalogue.write(service.settings.state.catalogue, Listing(service.catalogue.entries, False,
                                                              service.catalogue.seeds))
    assert client.get("/readyz").status_code == 503
    assert post(client).status_code == 200


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


def test_bodies_are_released_and_waiting_work_is_forgotten_whatever_came_of_them(client: FlaskClient) -> None:
    service = services_of(client)
    before = service.in_flight.reserved_bytes
    for image in (photo(), b"no image"):
        post(client, image=image)
    client.post("/predict", data=b"x" * 100, content_type="image/jpeg")
    assert service.in_flight.reserved_bytes == before
    assert service.drain.open_work == service.waiting.ms("quick") == 0


def test_inline_work_goes_on_while_the_queue_server_is_away(client: FlaskClient, server: Any) -> None:
    server.connected = False
    assert post(client).status_code == 200
    assert client.get("/readyz").status_code == 200


def test_what_runs_took_is_learned(client: FlaskClient, predictors: FakePredictors) -> None:
    part = f"run leaf {LEAF.fingerprint}"
    predictors.answer = replace(PREDICTION, samples=((part, (1.0, 0.1, 0.1), 9.0),))
    post(client)
    services_of(client).costs.exchange()
    assert client.get("/models/leaf").get_json()["cost"]["samples"] == 1


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp"])
def test_a_result_is_drawn_for_a_caller_who_likes_images(client: FlaskClient, predictors: FakePredictors,
                                                         kind: str) -> None:
    answer = post(client, "labels=none&scale=2", headers={"Accept": f"{kind}, application/json;q=0.5"})
    assert (answer.mimetype, answer.data) == (kind, DRAWN)
    assert "Server-Timing" in answer.headers
    assert predictors.drawn == [(photo(), PREDICTION.result, kind, {"labels": "none", "scale": 2.0})]


@pytest.mark.parametrize("accept", ["", "image/png", "text/csv"])
def test_the_answer_tells_that_it_depends_on_accept(client: FlaskClient, accept: str) -> None:
    assert post(client, headers={"Accept": accept}).headers["Vary"] == "Accept"


@pytest.mark.parametrize("path", ["/predict", "/models/leaf/predict"])
def test_what_may_be_posted_is_told(client: FlaskClient, path: str) -> None:
    asked = client.options(path)
    assert (asked.status_code, asked.headers["Allow"]) == (200, "OPTIONS, POST")
    assert "image/*" in asked.headers["Accept-Post"]
    refused = client.post(path, data="x", content_type="text/plain")
    assert (refused.status_code, refused.headers["Accept-Post"]) == (415, asked.headers["Accept-Post"])
    packed = client.post(path, data="x", content_type="image/png", headers={"Content-Encoding": "br"})
    assert (packed.status_code, packed.headers["Accept-Encoding"]) == (415, "gzip, deflate")


def test_a_drawing_is_not_meant_where_a_page_or_anything_would_do_too(client: FlaskClient) -> None:
    java = {"Accept": "text/html, image/gif, image/jpeg, */*; q=0.2"}
    assert post(client, headers=java).mimetype == "application/json"


def test_an_image_that_is_slow_to_decode_becomes_a_job_and_is_known_next_time(
        client: FlaskClient, predictors: FakePredictors) -> None:
    service = services_of(client)
    for _ in range(3):
        predictors.answer = SlowToDecode("it takes too long")
        answer = post(client)
        assert (answer.status_code, answer.get_json()["state"]) == (202, "queued")
        service.costs.exchange()
    assert service.costs.predict_ms([Work("decode JPEG 1/1", (1.0, 64 * 48 / 1e6, len(photo()) / 1e6))]) > 1000


def test_what_refused_images_took_is_learned(client: FlaskClient, predictors: FakePredictors) -> None:
    work, service = Work("decode JPEG 1/1", (1.0, 64 * 48 / 1e6, len(photo()) / 1e6)), services_of(client)
    refusal = UnsupportedImage("truncated")
    refusal.samples = [(work.part, work.amounts, 5_000.0)]
    for _ in range(3):
        predictors.answer = refusal
        assert post(client).status_code == 415
        service.costs.exchange()
    assert service.costs.predict_ms([work]) > 2_000


def test_a_drawing_of_an_image_that_is_slow_to_decode_is_asked_of_those_who_run_jobs(
        client: FlaskClient, predictors: FakePredictors) -> None:
    predictors.drawing = SlowToDecode("it takes too long")
    post(client, headers={"Accept": "image/png"})
    assert predictors.drawn_on == ["long", "job"]


@pytest.mark.parametrize(("accept", "status"), [("image/png, application/json;q=0.1", 200), ("image/png", 406)])
def test_what_cannot_be_drawn_is_json_where_that_would_do(client: FlaskClient, predictors: FakePredictors,
                                                          accept: str, status: int) -> None:
    predictors.drawing = NotDrawable("it lacks boxes")
    answer = post(client, headers={"Accept": accept})
    assert (answer.status_code, answer.get_json()["status"]) == (status, status)
    assert answer.headers["Vary"] == "Accept"


def test_a_task_that_cannot_be_drawn_is_refused_before_it_runs(client: FlaskClient, predictors: FakePredictors) -> None:
    answer = client.post("/predict?model_type=embedder", data=photo(), content_type="image/jpeg",
                         headers={"Accept": "image/png"})
    assert (answer.status_code, predictors.asked, answer.headers["Vary"]) == (406, [], "Accept")


def test_the_result_of_a_job_is_that_of_an_inline_call(client: FlaskClient, redis: Redis) -> None:
    inline, job = post(client), post(client, "mode=async").get_json()
    work_off(redis)
    result = client.get(job["urls"]["result"])
    assert result.status_code == 200
    assert result.get_json()["result"] == inline.get_json()["result"]
    assert set(result.get_json()) == set(inline.get_json())
    assert (result.get_json()["id"], result.get_json()["route"]) == (job["id"], "queue")
    assert "Server-Timing" in result.headers


def test_a_web_process_imports_neither_numpy_nor_onnxruntime(tmp_path: Any) -> None:
    code = """
import sys, wsgi
print(sorted({"numpy", "onnxruntime"} & sys.modules.keys()), wsgi.app.name)
"""
    assert in_child(code, PUNNET_STATE_DIR=str(tmp_path)).split() == ["[]", "api.app"]


def test_nothing_is_started_before_the_fork(tmp_path: Any) -> None:
    code = """
import os, threading, gevent.threadpool, wsgi
print(threading.active_count(), len(os.listdir("/proc/self/task")), os.listdir(os.environ["PUNNET_STATE_DIR"]))
"""
    assert in_child(code, PUNNET_STATE_DIR=str(tmp_path)).split() == ["1", "1", "[]"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_korean_name_is_taken_wherever_it_stands_in_both_forms_of_unicode(
        client: FlaskClient, predictors: FakePredictors, form: Literal["NFC", "NFD"]) -> None:
    model = replace(LEAF, spec=replace(LEAF.spec, name="딸기"))
    listing = replace(LISTING, entries=[Entry("딸기", "1", "ready", model=model)])
    catalogue.write(services_of(client).settings.state.catalogue, listing)
    name = normalize(form, "딸기")
    path, raw = f"/models/{quote(name)}", {"data": photo(), "content_type": "image/jpeg"}
    for answer in (client.post("/predict", data={"model_type": name, "img_file": "leaf.jpg"}),
                   client.post("/predict", json={"model_type": name, "img_file": "leaf.jpg"}),
                   client.post(f"/predict?model_type={quote(name)}", **raw), client.post(f"{path}/predict", **raw),
                   client.post(f"{path}/predict?model_type={quote('딸기')}", **raw)):
        assert (answer.status_code, answer.get_json()["model_type"]) == (200, "딸기")
    assert {question.model_type for question in predictors.asked} == {"딸기"}
    assert client.post(f"{path}/predict?mode=async", **raw).get_json()["model_type"] == "딸기"
    assert [client.get(path).get_json()["name"], client.get("/models").get_json()["models"][0]["name"]] == ["딸기"] * 2


@pytest.mark.parametrize(("queue_ms", "total_ms", "told"), [
    (10, 100, (10, 100)), (0, 20, (0, 50)), (100, 100, (50, 100)), (20, 20, (0, 50)), (60, 100, (50, 100))])
def test_a_jobs_times_add_up_also_where_its_run_began_before_it(queue_ms: float, total_ms: float,
                                                                told: tuple[float, float]) -> None:
    times = answers._job_times({"decode": 10, "inference": 40}, queue_ms, total_ms)
    assert (times["queue"], times["total"]) == told
    assert sum(times.values()) <= 2 * times["total"]
