"""GET /metrics behind Flask's test client."""

import re
from typing import Any, get_args

import fakeredis
import pytest
from flask.testing import FlaskClient
from redis import Redis

from inference.errors import PoisonImage, SlowToDecode
from jobs.outbox import Outbox, Try
from jobs.totals import Delivered
from jobs.turns import make_queue
from jobs.webhooks import DUE
from metrics.definitions import ALL
from settings import ROOT
from tests.unit.conftest import MakeClient, services_of, work_off
from tests.unit.fake_predictors import FakePredictors
from tests.unit.images import photo
from version import VERSION

DOCUMENT = (ROOT / "docs" / "metrics.md").read_text("utf-8")


def post(client: FlaskClient, query: str = "", **options: Any) -> int:
    return client.post(f"/predict?model_type=leaf&{query}", data=photo(),
                       **({"content_type": "image/jpeg"} | options)).status_code


def told(client: FlaskClient, **options: Any) -> dict[str, float]:
    """By name and labels, as they are written."""
    lines = client.get("/metrics", **options).text.splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


def test_every_metric_is_told_with_its_kind_and_meaning(client: FlaskClient) -> None:
    answer = client.get("/metrics")
    assert answer.mimetype == "text/plain"
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", answer.text, re.MULTILINE))
    assert kinds == {metric.name: metric.kind for metric in ALL}


def test_requests_are_told_by_path_model_and_status_and_refusals_by_problem(client: FlaskClient) -> None:
    assert [post(client), post(client), post(client, "top_k=0"), client.get("/jobs/none").status_code,
            client.get("/nothing").status_code] == [200, 200, 422, 404, 404]
    numbers = told(client)
    requests = {name: count for name, count in numbers.items() if name.startswith("punnet_http_requests_total")}
    assert requests == {
        'punnet_http_requests_total{method="POST",model="leaf",path="/predict",status="200"}': 2,
        'punnet_http_requests_total{method="POST",model="",path="/predict",status="422"}': 1,
        'punnet_http_requests_total{method="GET",model="",path="/jobs/{job_id}",status="404"}': 1,
        'punnet_http_requests_total{method="GET",model="",path="",status="404"}': 1}
    assert {name: count for name, count in numbers.items() if name.startswith("punnet_refusals_total")} == {
        'punnet_refusals_total{problem="bad-parameter"}': 1, 'punnet_refusals_total{problem="job-not-found"}': 1,
        'punnet_refusals_total{problem="not-found"}': 1}
    assert numbers['punnet_http_request_seconds_count{path="/predict"}'] == 3
    assert numbers["punnet_http_requests_open"] == 1  # the one that asks


def test_what_a_caller_makes_up_is_no_label(client: FlaskClient) -> None:
    client.post("/predict?model_type=made-up", data=photo(), content_type="image/jpeg")
    client.get("/models/made-up")
    client.open("/made-up", method="MADE-UP")
    assert "made-up" not in client.get("/metrics").text.lower()


@pytest.mark.parametrize(("given", "query", "route", "why"), [
    ({}, "", "quick", "cost"), ({"quick_ms": 0}, "", "long", "cost"), ({"inline_budget_ms": 0}, "", "job", "cost"),
    ({}, "mode=async", "job", "asked")])
def test_the_route_is_told_with_its_reason(make_client: MakeClient, given: dict, query: str, route: str,
                                           why: str) -> None:
    client = make_client(**given)
    post(client, query)
    assert told(client)[f'punnet_routed_total{{model="leaf",route="{route}",why="{why}"}}'] == 1


def test_an_inline_image_that_becomes_a_job_is_told(client: FlaskClient, predictors: FakePredictors) -> None:
    predictors.answer = SlowToDecode("slow")
    assert post(client) == 202
    assert told(client)['punnet_rerouted_total{model="leaf",why="slow-to-decode"}'] == 1


def test_times_are_told_by_phase_and_route(client: FlaskClient) -> None:
    post(client)
    numbers = told(client)
    assert numbers['punnet_prediction_seconds_count{model="leaf",route="quick"}'] == 1
    assert numbers['punnet_phase_seconds_bucket{le="0.0025",model="leaf",phase="inference"}'] == 0
    assert numbers['punnet_phase_seconds_bucket{le="0.005",model="leaf",phase="inference"}'] == 1
    assert numbers['punnet_phase_seconds_sum{model="leaf",phase="inference"}'] == pytest.approx(0.003)


def test_jobs_are_told_by_state_and_counted_as_they_end(client: FlaskClient, redis: Redis) -> None:
    posted = [client.post("/predict?model_type=leaf&mode=async", data=photo(), content_type="image/jpeg").get_json()
              for _ in range(3)]
    client.delete(f"/jobs/{posted[0]['id']}")
    waiting = told(client)
    assert (waiting['punnet_jobs{state="queued"}'], waiting['punnet_jobs{state="canceled"}']) == (2, 1)
    assert waiting["punnet_queue_image_bytes"] == 2 * len(photo())
    assert 0 < waiting["punnet_queue_oldest_seconds"] < 60
    assert waiting["punnet_queue_predicted_seconds"] > 0
    work_off(redis)
    ended = told(client)
    assert ended['punnet_jobs_ended_total{model="leaf",state="succeeded"}'] == 2
    assert ended['punnet_jobs_ended_total{model="leaf",state="canceled"}'] == 1
    assert (ended["punnet_queue_oldest_seconds"], ended["punnet_queue_image_bytes"]) == (0, 0)


def test_tries_to_tell_a_receiver_are_counted_once_by_what_came_of_them(client: FlaskClient, redis: Redis) -> None:
    name = 'punnet_webhook_deliveries_total{{result="{}"}}'.format
    assert [told(client)[name(result)] for result in get_args(Delivered)] == [0, 0, 0, 0]
    assert post(client, "webhook=https://example.org&webhook_events_filter=start,completed") == 202
    work_off(redis)
    outbox, other = (Outbox(make_queue(redis), who, kept_s=60) for who in ("one", "other"))
    for status in (500, 200, 410):
        [job_id] = outbox.claim(1)
        delivery = outbox.delivery(job_id)
        assert delivery is not None
        made = Try("2026-01-01T00:00:00Z", delivery.event, delivery.number, status)
        other.settle(delivery, made)  # whoever has lost its claim counts nothing
        outbox.settle(delivery, made)
        redis.zadd(f"punnet:{DUE}", {job_id: 0}, xx=True)
    assert [told(client)[name(result)] for result in get_args(Delivered)] == [1, 1, 0, 1]


def test_who_is_told_the_events_of_a_job_is_counted_as_long_as_he_is(client: FlaskClient) -> None:
    name, url = 'punnet_callers_waiting{how="events"}', client.post(
        "/predict?model_type=leaf&mode=async", data=photo(), content_type="image/jpeg").get_json()["urls"]["events"]
    stream = client.get(url)
    assert told(client)[name] == 1
    stream.close()
    assert told(client)[name] == 0


def test_without_the_queue_server_the_rest_is_told(client: FlaskClient, server: fakeredis.FakeServer) -> None:
    assert told(client)["punnet_queue_server_up"] == 1
    server.connected = False
    numbers = told(client)
    assert (numbers["punnet_queue_server_up"], numbers['punnet_models{state="ready"}']) == (0, 2)
    assert 'punnet_jobs{state="queued"}' not in numbers


def test_models_version_and_inline_work_are_told(client: FlaskClient) -> None:
    with services_of(client).waiting.counted("long", 1500.0):
        numbers = told(client)
    assert (numbers['punnet_models{state="failed"}'], numbers['punnet_models{state="loading"}']) == (1, 1)
    assert numbers[f'punnet_info{{version="{VERSION}"}}'] == 1
    assert (numbers['punnet_inline_waiting{route="long"}'],
            numbers['punnet_inline_predicted_seconds{route="long"}']) == (1, 1.5)


def test_a_poison_image_is_told_among_the_refusals(client: FlaskClient, predictors: FakePredictors) -> None:
    predictors.answer = PoisonImage("it ended two predictors")
    assert post(client) == 500
    assert told(client)['punnet_refusals_total{problem="poison-image"}'] == 1


def test_with_keys_metrics_need_one(make_client: MakeClient) -> None:
    client = make_client(api_keys="us:secret")
    assert client.get("/metrics").status_code == 401
    assert "punnet_models" in client.get("/metrics", headers={"Authorization": "Bearer secret"}).text


def test_version_is_told(client: FlaskClient) -> None:
    assert client.get("/version").get_json() == {"version": VERSION}


def test_the_document_lists_every_metric_as_it_is() -> None:
    rows = re.findall(r"^\| `(punnet_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", DOCUMENT, re.MULTILINE)
    assert rows == [(metric.name, metric.kind, " ".join(f"`{label}`" for label in metric.labels), metric.meaning)
                    for metric in ALL]
