from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from inference import errors
from inference.engine import Engine
from inference.model import LoadedModel
from jobs.outcome import Outcome
from jobs.store import RedisStore
from tests.unit.conftest import runtime_of
from tests.unit.pictures import photo, png_header
from worker.runtime import runtime
from worker.tasks import Deadline, predict


@pytest.fixture
def store(redis: Redis) -> RedisStore:
    return RedisStore(redis)


@pytest.fixture(autouse=True)
def held_ready(engine: Engine, redis: Redis) -> Iterator[None]:
    token = runtime.set(runtime_of(engine, redis))
    yield
    runtime.reset(token)


def outcome(model_type: str = "leaf", **parameters: Any) -> Outcome:
    return Outcome.from_json(predict("a", model_type, parameters))


def raising(error: BaseException) -> Callable[..., None]:
    def predict(*_: object) -> None:
        raise error

    return predict


def test_a_picture_becomes_the_prediction_of_an_inline_call(store: RedisStore, engine: Engine) -> None:
    store.put("a", photo())
    found = outcome(top_k=1)
    inline = engine.predict("leaf", engine.open(photo()), engine.parameters("leaf", {"top_k": 1}))
    assert found.succeeded
    assert found.prediction is not None
    assert found.prediction["result"] == inline.result
    assert set(found.prediction) == set(inline.to_dict())


@pytest.mark.parametrize(("data", "model_type", "parameters", "kind"), [
    (b"text", "leaf", {}, "UnsupportedImage"), (photo()[:700], "leaf", {}, "UnsupportedImage"),
    (png_header(20_000, 10_000), "leaf", {}, "TooManyPixels"), (photo(), "moon", {}, "ModelNotFound"),
    (photo(), "leaf", {"top_k": 0}, "BadParameter"),
])
def test_a_refusal_bears_the_name_of_the_inline_exception(store: RedisStore, engine: Engine, data: bytes,
                                                          model_type: str, parameters: dict, kind: str) -> None:
    store.put("a", data)
    found = outcome(model_type, **parameters)
    assert (found.succeeded, found.kind) == (False, kind)
    with pytest.raises(getattr(errors, kind)) as caught:
        engine.predict(model_type, engine.open(data), engine.parameters(model_type, parameters))
    assert found.detail == str(caught.value)


def test_a_lost_image_is_no_reason_to_try_again() -> None:
    assert outcome().kind == "WorkerLost"
    assert "post the image again" in outcome().detail


@pytest.mark.parametrize(("error", "kind"), [
    (Deadline(), "Deadline"), (errors.InferenceFailed("the model failed"), "InferenceFailed")])
def test_what_ends_an_inference_is_an_outcome(store: RedisStore, monkeypatch: pytest.MonkeyPatch,
                                              error: BaseException, kind: str) -> None:
    store.put("a", photo())
    monkeypatch.setattr(LoadedModel, "predict", raising(error))
    assert outcome().kind == kind


@pytest.mark.parametrize("error", [OSError("disk"), MemoryError(), RuntimeError("bug")])
def test_trouble_of_the_machinery_is_raised(store: RedisStore, monkeypatch: pytest.MonkeyPatch,
                                            error: Exception) -> None:
    store.put("a", photo())
    monkeypatch.setattr(LoadedModel, "predict", raising(error))
    with pytest.raises(type(error)):
        outcome()


def test_no_handler_for_ordinary_exceptions_swallows_the_deadline() -> None:
    assert not issubclass(Deadline, Exception)


def test_an_outcome_survives_json() -> None:
    for value in (Outcome({"result": 1}), Outcome(kind="Deadline", detail="late")):
        assert Outcome.from_json(value.to_json()) == value


def test_a_result_that_is_too_large_to_keep_is_a_failure(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.tasks.MAX_RESULT_BYTES", 50)
    store.put("a", photo())
    found = outcome()
    assert (found.kind, found.succeeded) == ("InferenceFailed", False)
    assert "MB as JSON" in found.detail


def test_a_job_bears_only_what_its_caller_gave(store: RedisStore) -> None:
    """Its model may be replaced by one of another task before it runs."""
    store.put("a", photo())
    assert outcome().succeeded
    assert outcome(threshold=None).kind == "BadParameter"
