from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from inference.image import ImageInfo
from inference.session import TensorInfo
from inference.spec import Activation, ModelSpec, find_out, read_toml
from inference.tasks import TASKS
from inference.tasks.classification import NAME, Parameters, activate, to_result

PICTURE = ImageInfo(4, 3, "PNG")
LOGITS = np.array([[1.0, 3.0, 2.0]], np.float32)
SOFTMAX = {"b": 0.665241, "c": 0.244728, "a": 0.090031}


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    (tmp_path / "labels.txt").write_text("a\nb\nc")
    return find_out("m", "1", tmp_path, read_toml(tmp_path / "absent"),
                    [TensorInfo("image", (1, 3, 8, 8), "FP32")], [TensorInfo("logits", (1, 3), "FP32")])


def predictions(spec: ModelSpec, **parameters: float) -> dict[str, float]:
    result = to_result([LOGITS], spec, PICTURE, Parameters.model_validate(parameters))
    assert result["task"] == NAME
    return {entry["label"]: entry["score"] for entry in result["predictions"]}


def test_the_best_label_comes_first(spec: ModelSpec) -> None:
    assert list(predictions(spec).items()) == list(SOFTMAX.items())


@pytest.mark.parametrize(("parameters", "labels"), [
    ({"top_k": 1}, ["b"]), ({"top_k": 2}, ["b", "c"]), ({"top_k": 10**30}, ["b", "c", "a"]),
    ({"threshold": 0.2}, ["b", "c"]),
    ({"threshold": 1}, []), ({"top_k": 1, "threshold": 0.9}, []),
])
def test_top_k_and_threshold_leave_the_rest_out(spec: ModelSpec, parameters: dict, labels: list[str]) -> None:
    assert list(predictions(spec, **parameters)) == labels


def test_equal_scores_keep_the_models_order(spec: ModelSpec) -> None:
    result = to_result([np.zeros((1, 3), np.float32)], spec, PICTURE, Parameters())
    assert [entry["label"] for entry in result["predictions"]] == ["a", "b", "c"]


@pytest.mark.parametrize(("activation", "expected"), [
    ("softmax", list(SOFTMAX.values())), ("sigmoid", [0.952574, 0.880797, 0.731059]), ("none", [3.0, 2.0, 1.0])])
def test_activations_are_what_their_names_say(activation: Activation, expected: list[float]) -> None:
    assert activate(np.array([3.0, 2.0, 1.0]), activation) == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_extreme_logits_stay_numbers_without_a_warning(activation: Activation) -> None:
    assert activate(np.array([1e4, -1e4]), activation) == pytest.approx([1, 0])


@pytest.mark.parametrize("given", [
    {"top_k": 0}, {"top_k": "x"}, {"top_k": 1.5}, {"threshold": -0.1}, {"threshold": 1.1}, {"threshold": "nan"},
    {"k": 1}])
def test_wrong_parameters_are_refused(given: dict) -> None:
    with pytest.raises(ValidationError):
        Parameters.model_validate(given)


def test_parameters_may_come_as_text() -> None:
    assert Parameters.model_validate({"top_k": "3", "threshold": "0.5"}) == Parameters(top_k=3, threshold=0.5)


def test_the_task_is_entered_under_its_name() -> None:
    assert TASKS[NAME].to_result is to_result
