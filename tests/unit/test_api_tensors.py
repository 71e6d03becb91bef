"""Outputs as plain numbers, behind Flask's test client."""

from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from api.inline import Attended
from inference.errors import NotOneTensor
from inference.model_info import ModelInfo
from inference.registry import Entry
from inference.spec import InputSpec, ModelSpec, OutputSpec, TensorInfo
from predictors import catalogue
from predictors.catalogue import Listing
from predictors.client import Prediction, Tensor
from tests.unit.conftest import services_of, work_off
from tests.unit.fake_predictors import LISTING, PREDICTION, TENSOR, FakePredictors
from tests.unit.images import photo

NPY, OCTETS = "application/x-npy", "application/octet-stream"


def model(name: str, *outputs: str, has_hooks: bool = False) -> Entry:
    spec = ModelSpec(name, "1", "tensor", (), InputSpec("image", (32, 32)), OutputSpec({}))
    told = tuple(TensorInfo(output, (1, 2), "FP32") for output in outputs)
    return Entry(name, "1", "ready", model=ModelInfo(spec, f"of-{name}", (), told, has_hooks=has_hooks, run_ms=2.0))


def serve(client: FlaskClient) -> FlaskClient:
    """With a model of one output, one of two, and one whose hooks.py makes something of them."""
    entries = [*LISTING.entries, model("one", "y"), model("two", "a", "b"), model("own", "a", "b", has_hooks=True)]
    catalogue.write(services_of(client).settings.state.catalogue, Listing(entries, True, LISTING.decoding))
    return client


@pytest.fixture
def tensors(client: FlaskClient, predictors: FakePredictors) -> FlaskClient:
    predictors.answer = replace(PREDICTION, result=b"", tensor=TENSOR)
    return serve(client)


def post(client: FlaskClient, query: str, accept: str) -> TestResponse:
    return client.post(f"/predict?model_type={query}", data=photo(), content_type="image/jpeg",
                       headers={"Accept": accept})


@pytest.mark.parametrize("kind", [NPY, OCTETS])
@pytest.mark.parametrize("accept", ["{}", "{}, application/json;q=0.5", "*/*;q=0.1, {}"])
def test_an_output_is_answered_as_plain_numbers(tensors: FlaskClient, predictors: FakePredictors, kind: str,
                                                accept: str) -> None:
    answer = post(tensors, "one", accept.format(kind))
    assert (answer.status_code, answer.mimetype, answer.data) == (200, kind, TENSOR.data)
    assert (answer.headers["X-Tensor-Shape"], answer.headers["X-Tensor-Datatype"]) == ("1,2", "FP32")
    assert int(answer.headers["Content-Length"]) == len(TENSOR.data)
    assert "Server-Timing" in answer.headers
    assert predictors.asked[-1].tensor_type == kind


def test_a_single_number_has_a_shape_without_axes(tensors: FlaskClient, predictors: FakePredictors) -> None:
    predictors.answer = replace(PREDICTION, result=b"", tensor=Tensor(b"1234", [], "FP32"))
    assert post(tensors, "one", NPY).headers["X-Tensor-Shape"] == ""


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", f"application/json, {NPY}", "application/*",
                                    f"{OCTETS};q=0.5, application/json"])
def test_json_is_answered_unless_something_else_is_liked_better(tensors: FlaskClient, predictors: FakePredictors,
                                                                accept: str) -> None:
    predictors.answer = PREDICTION
    assert post(tensors, "one", accept).mimetype == "application/json"
    assert predictors.asked[-1].tensor_type == ""


def test_one_of_several_outputs_has_to_be_chosen(tensors: FlaskClient, predictors: FakePredictors) -> None:
    refused = post(tensors, "two", NPY)
    assert (refused.status_code, refused.get_json()["type"]) == (406, "/problems/not-acceptable")
    assert "outputs=name, such as outputs=a; this request is for a, b" in refused.get_json()["detail"]
    assert post(tensors, "two&outputs=a,b", NPY).status_code == 406
    assert predictors.asked == []
    assert post(tensors, "two&outputs=b", NPY).mimetype == NPY
    assert predictors.asked[-1].parameters == {"outputs": "b"}


@pytest.mark.parametrize("query", ["two", "leaf"])
def test_json_does_where_there_is_not_one_tensor(tensors: FlaskClient, predictors: FakePredictors, query: str) -> None:
    predictors.answer = PREDICTION
    assert post(tensors, query, f"{NPY}, application/json;q=0.1").mimetype == "application/json"
    assert predictors.asked[-1].tensor_type == ""


def test_another_task_is_refused_before_it_runs(tensors: FlaskClient, predictors: FakePredictors) -> None:
    refused = post(tensors, "leaf", NPY)
    assert (refused.status_code, predictors.asked, refused.headers["Vary"]) == (406, [], "Accept")
    assert "this model's is image-classification: ask for application/json" in refused.get_json()["detail"]


def test_what_hooks_make_of_the_outputs_is_known_after_the_run(tensors: FlaskClient,
                                                               predictors: FakePredictors) -> None:
    assert post(tensors, "own", NPY).mimetype == NPY
    predictors.answer = NotOneTensor("the result has 2")
    assert post(tensors, "own", NPY).status_code == 406


@pytest.mark.parametrize(("accept", "prediction"), [
    (NPY, replace(PREDICTION, result=b"", tensor=TENSOR)), ("application/json", PREDICTION)])
def test_a_tensor_that_is_computed_already_does_not_become_a_job(
        tensors: FlaskClient, predictors: FakePredictors, monkeypatch: pytest.MonkeyPatch, accept: str,
        prediction: Prediction) -> None:
    """It takes long to write, and to store; plain numbers are no result of a job at all."""
    monkeypatch.setattr(Attended, "attend", lambda attended: False)
    predictors.answer = prediction
    assert post(tensors, "one", accept).status_code == 200


@pytest.fixture
def job(tensors: FlaskClient, redis: Redis, predictors: FakePredictors) -> str:
    """Where a job's result is."""
    predictors.answer = PREDICTION
    url = post(tensors, "one&mode=async", NPY).headers["Location"]
    work_off(redis)
    return f"{url}/result"


@pytest.mark.parametrize("kind", [NPY, OCTETS])
def test_a_jobs_result_is_written_as_plain_numbers(tensors: FlaskClient, predictors: FakePredictors, job: str,
                                                   kind: str) -> None:
    answer = tensors.get(job, headers={"Accept": kind})
    assert (answer.status_code, answer.mimetype, answer.data) == (200, kind, TENSOR.data)
    assert (answer.headers["X-Tensor-Shape"], answer.headers["X-Tensor-Datatype"]) == ("1,2", "FP32")
    assert predictors.written == [(PREDICTION.result, kind)]
    assert tensors.get(job).get_json()["status"] == 200


@pytest.mark.parametrize(("accept", "status"), [(NPY, 406), (f"{NPY}, application/json;q=0.1", 200)])
def test_a_jobs_result_that_is_not_one_tensor_is_json_where_that_would_do(
        tensors: FlaskClient, predictors: FakePredictors, job: str, accept: str, status: int) -> None:
    predictors.converted = NotOneTensor("the result has 2")
    answer = tensors.get(job, headers={"Accept": accept})
    assert (answer.status_code, answer.get_json()["status"]) == (status, status)
    assert answer.headers["Vary"] == "Accept"
