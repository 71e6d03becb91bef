from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from inference.geometry import place
from inference.model_toml import Activation
from inference.parameters import ClassificationParameters as Parameters
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.tasks import TASKS
from inference.tasks.classification import NAME, Classified, activate, merge, read, result
from inference.tiling import Tiles

SIZE = (4, 3)
LOGITS = np.array([[1.0, 3.0, 2.0]], np.float32)
SOFTMAX = {"b": 0.665241, "c": 0.244728, "a": 0.090031}
SPEC = ModelSpec("m", "1", "image-classification", ("a", "b", "c"), InputSpec("image", (8, 8)),
                 OutputSpec({}, activation="softmax"))


def predictions(values: np.ndarray = LOGITS, **parameters: float) -> dict[str, float]:
    asked = Parameters.model_validate(parameters)
    found = result(read({"logits": values}, SPEC, place(SIZE, SPEC.input), asked), SPEC, SIZE, asked)
    assert set(found) == {"task", "predictions"}
    assert found["task"] == NAME
    return {entry["label"]: entry["score"] for entry in found["predictions"]}


def test_the_best_label_comes_first() -> None:
    assert list(predictions().items()) == list(SOFTMAX.items())


@pytest.mark.parametrize(("parameters", "labels"), [
    ({"top_k": 1}, ["b"]), ({"top_k": 2}, ["b", "c"]), ({"top_k": 1_000_000}, ["b", "c", "a"]),
    ({"threshold": 0.2}, ["b", "c"]),
    ({"threshold": 1}, []), ({"top_k": 1, "threshold": 0.9}, []),
])
def test_top_k_and_threshold_leave_the_rest_out(parameters: dict, labels: list[str]) -> None:
    assert list(predictions(**parameters)) == labels


def test_a_number_below_0_is_told_where_no_threshold_is_asked_for() -> None:
    regression = replace(SPEC, labels=("age",), output=OutputSpec({}, activation="none"))
    value = read({"logits": np.array([[-2.5]])}, regression, place(SIZE, SPEC.input), Parameters())
    assert result(value, regression, SIZE, Parameters())["predictions"] == [{"label": "age", "score": -2.5}]
    assert result(value, regression, SIZE, Parameters(threshold=0.1))["predictions"] == []


def test_equal_scores_keep_the_models_order() -> None:
    assert list(predictions(np.zeros((1, 3), np.float32))) == ["a", "b", "c"]


def test_further_axes_of_1_do_not_matter() -> None:
    assert predictions(LOGITS.reshape(1, 3, 1, 1)) == SOFTMAX


def test_another_number_of_scores_than_labels_is_told_with_what_to_set() -> None:
    with pytest.raises(ValueError, match=r"output 'logits' has 4 scores for 3 labels: set labels in model\.toml"):
        predictions(np.zeros((1, 4)))


def of_tiles(**parameters: float) -> dict:
    """Tiles of 4 x 2 and 2 x 2 pixels."""
    tiles, asked = Tiles((6, 2), (4, 2), (0, 4), (0,)), Parameters.model_validate(parameters)
    scores = [Classified(np.array([0.9, 0.1, 0.0])), Classified(np.array([0.0, 0.4, 0.6]))]
    values = zip(tiles.placements(SPEC.input), scores, strict=True)
    return result(merge(values, tiles, SPEC, asked), SPEC, (6, 2), asked)


def test_tiles_count_by_their_area() -> None:
    assert of_tiles()["predictions"] == [
        {"label": "a", "score": 0.6}, {"label": "b", "score": 0.2}, {"label": "c", "score": 0.2}]


def test_tiles_are_told_as_a_map_of_their_best_labels() -> None:
    assert of_tiles(top_k=1, threshold=0.9)["tiles"] == [
        {"box": {"xmin": 0, "ymin": 0, "xmax": 4, "ymax": 2}, "label": "a", "score": 0.9},
        {"box": {"xmin": 4, "ymin": 0, "xmax": 6, "ymax": 2}, "label": "c", "score": 0.6}]


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
    assert (TASKS[NAME].read, TASKS[NAME].merge) == (read, merge)
