"""/openapi.json tells what the application does: its routes, its answers, and what the contract promises."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from flask.testing import FlaskClient
from redis import Redis

from api.problems import PROBLEMS
from api.reference.document import document
from inference.errors import UnsupportedImage
from inference.parameters import PARAMETERS
from settings import ROOT
from tests.unit.conftest import MakeClient, work_off
from tests.unit.described import closed
from tests.unit.fake_predictors import FakePredictors
from tests.unit.images import photo
from version import VERSION

REFERENCE = document("", needs_key=False)
CONTRACT = ROOT.parent / "shared" / "contract.md"
OF_PAGES = ("/ui/", "/static/", "/docs/files/")  # what pages are made of is no part of the API
ANSWERED_ALIKE = {"HEAD", "OPTIONS"}
needs_contract = pytest.mark.skipif(not CONTRACT.is_file(), reason="the contract is not beside the project here")


def check(answer: Any, path: str, method: str = "get") -> None:
    """An answer is one of those that are described."""
    operation = REFERENCE["paths"][path][method]
    response = operation["responses"][str(answer.status_code)]
    name = response.get("$ref", "").rpartition("/")[2]
    response = REFERENCE["components"]["responses"][name] if name else response
    assert set(response.get("headers", ())) >= {"X-Request-ID"}
    if "content" in response:
        assert answer.mimetype in response["content"]
        schema = response["content"][answer.mimetype]["schema"]
        if answer.is_json:
            jsonschema_rs.validate(closed({**schema, "components": REFERENCE["components"]}), answer.get_json())


def post(client: FlaskClient, query: str = "", **options: Any) -> Any:
    return client.post(f"/predict?model_type=leaf&{query}", data=photo(),
                       **({"content_type": "image/jpeg"} | options))


def texts(part: Any) -> Iterator[str]:
    """Every name and text of the reference."""
    if isinstance(part, dict):
        yield from part
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from texts(inner)
    elif isinstance(part, str):
        yield part


def test_every_route_is_described_and_nothing_else(client: FlaskClient) -> None:
    routes = {(method.lower(), rule.rule.replace("<", "{").replace(">", "}"))
              for rule in client.application.url_map.iter_rules() if not rule.rule.startswith(OF_PAGES)
              for method in (rule.methods or set()) - ANSWERED_ALIKE}
    assert routes == {(method, path) for path, methods in REFERENCE["paths"].items() for method in methods}


def test_every_problem_is_described_under_its_status() -> None:
    for problem in PROBLEMS.values():
        if problem.slug != "caller-gone":
            assert f"`{problem.slug}`" in REFERENCE["components"]["responses"][str(problem.status)]["description"]


def test_everything_that_a_task_takes_can_be_sent() -> None:
    sent = {parameter["name"] for parameter in REFERENCE["paths"]["/predict"]["post"]["parameters"]}
    assert {name for kind in PARAMETERS.values() for name in kind.model_fields} <= sent


def test_answers_are_as_described(client: FlaskClient, redis: Redis, predictors: FakePredictors) -> None:
    check(post(client), "/predict", "post")
    check(post(client, headers={"Accept": "image/png"}), "/predict", "post")
    check(client.post("/models/leaf/predict", data=photo(), content_type="image/jpeg"),
          "/models/{model_type}/predict", "post")
    for path in ("/models", "/livez", "/readyz", "/version", "/metrics", "/openapi.json", "/docs", "/"):
        check(client.get(path), path)
    check(client.get("/", headers={"Accept": "text/html"}), "/")
    for name in ("leaf", "empty", "late", "embedder", "none"):
        check(client.get(f"/models/{name}"), "/models/{model_type}")


def test_jobs_are_as_described_in_every_state(client: FlaskClient, redis: Redis, predictors: FakePredictors) -> None:
    posted = [post(client, "mode=async") for _ in range(3)]
    ids = [answer.get_json()["id"] for answer in posted]
    check(posted[0], "/predict", "post")
    check(client.get(f"/jobs/{ids[0]}/result"), "/jobs/{job_id}/result")
    check(client.delete(f"/jobs/{ids[0]}"), "/jobs/{job_id}", "delete")
    work_off(redis)
    predictors.answer = UnsupportedImage("no image")
    ids.append(post(client, "mode=async").get_json()["id"])
    work_off(redis, predictors)
    for job_id in (*ids, "none"):
        check(client.get(f"/jobs/{job_id}"), "/jobs/{job_id}")
        check(client.get(f"/jobs/{job_id}/result"), "/jobs/{job_id}/result")
    check(client.get("/jobs?limit=2"), "/jobs")
    assert client.get("/jobs").get_json()["jobs"]


@pytest.mark.parametrize(("query", "status"), [("top_k=0", 422), ("mode=x", 400), ("model_type=none", 404)])
def test_refusals_are_as_described(client: FlaskClient, query: str, status: int) -> None:
    answer = client.post(f"/predict?{query if 'model_type' in query else f'model_type=leaf&{query}'}", data=photo(),
                         content_type="image/jpeg")
    assert answer.status_code == status
    check(answer, "/predict", "post")


def test_below_a_prefix_and_with_keys_it_says_so(make_client: MakeClient) -> None:
    client = make_client(url_prefix="/punnet", api_keys="us:secret")
    assert client.get("/openapi.json").status_code == 401
    told = client.get("/openapi.json", headers={"X-API-Key": "secret"}).get_json()
    assert (told["servers"], told["info"]["version"]) == ([{"url": "/punnet"}], VERSION)
    assert told["security"] == [{"bearer": []}, {"header": []}]
    page = client.get("/docs")
    assert page.status_code == 200
    assert 'data-root="/punnet"' in page.text
    assert "unsafe" not in page.headers["Content-Security-Policy"]


@needs_contract
def test_every_path_of_the_contract_is_described() -> None:
    found = re.findall(r"`(GET|POST|DELETE) (/[\w/<>.]*)`", CONTRACT.read_text("utf-8"))
    named = {(method.lower(), re.sub("<id>", "{job_id}", path).replace("<", "{").replace(">", "}"))
             for method, path in found}
    assert len(named) >= 15
    assert {(method, path) for method, path in named if method not in REFERENCE["paths"].get(path, {})} == set()


@needs_contract
def test_every_problem_of_the_contract_is_described() -> None:
    [told] = re.findall(r"`type` is `/problems/<slug>`:\n(.*?)429 and 503 bear", CONTRACT.read_text("utf-8"), re.DOTALL)
    for part in told.split("·"):
        if (match := re.match(r"\s*(\d{3}) (.*)", part, re.DOTALL)):
            status, slugs = match.group(1), re.findall("`([a-z-]+)`", match.group(2))
            if status == "501":
                continue  # nothing of ours answers it, but gunicorn a transfer coding that it does not know
            described = REFERENCE["components"]["responses"][status]["description"]
            assert [slug for slug in slugs if f"`{slug}`" not in described] == [], status


@needs_contract
@pytest.mark.parametrize("begin", ['{"status": 200, "id"', '{"status": 202, "id"'])
def test_every_field_of_the_contracts_documents_is_described(begin: str) -> None:
    [example] = [block for block in re.findall(r"```json\n(.*?)```", CONTRACT.read_text("utf-8"), re.DOTALL)
                 if block.startswith(begin)]
    assert set(re.findall(r'"(\w+)":', example)) <= set(texts(REFERENCE["components"]["schemas"]))


@needs_contract
@pytest.mark.parametrize("name", [
    "Location", "Retry-After", "Server-Timing", "Preference-Applied", "X-Request-ID", "Accept-Post", "Vary", "Prefer",
    "Cancel-After", "Last-Event-ID", "X-API-Key", "Idempotency-Key"])
def test_every_header_of_the_contract_is_described(name: str) -> None:
    assert name in CONTRACT.read_text("utf-8")
    assert name in set(texts(REFERENCE))
