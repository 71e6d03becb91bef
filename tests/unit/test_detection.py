from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from inference.geometry import Placement
from inference.parameters import DetectionParameters as Parameters
from inference.spec import ModelSpec
from inference.tasks import detection
from inference.tasks.detection import NAME, Detections, read, result
from tests.unit.detections import (
    CELLS,
    LABELS,
    STRETCHED,
    STRIDES,
    beside,
    found,
    maps,
    spec,
    with_scores,
)

Outputs = dict[str, NDArray]
JOINED = found(CELLS)
BOX_SCORES: dict[str, Any] = {"columns": "box scores"}
BOX_OBJECTNESS: dict[str, Any] = {"columns": "box objectness scores"}


def one_box(*boxes: tuple[float, ...], scores: tuple[float, ...] = (), classes: tuple[int, ...] = ()) -> Outputs:
    """Rows with a class each, by default cats of falling score."""
    count = len(boxes)
    return {"o": beside(np.array(boxes).reshape(-1, 4), scores or np.linspace(0.9, 0.8, count), classes or [0] * count)}


WITH_CLASS = spec(columns="box score class", nms="per-class", iou=0.5)


def test_a_letterboxed_image_gets_its_boxes_back_without_the_fill() -> None:
    letterboxed = Placement((200, 100), (0, 0, 200, 100), (64, 64), (0, 16, 64, 48))
    outputs = one_box((16, 24, 32, 40), (0, 10, 8, 24), (40, 2, 60, 15))  # inside, across the fill's rim, in the fill
    assert read(outputs, WITH_CLASS, letterboxed, Parameters()).boxes == \
        pytest.approx(np.array([[50, 25, 100, 75], [0, 0, 25, 25]]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("box", [(9, 1, 9, 5), (9, 1, 5, 5), (1, 5, 5, 5), (1, float("nan"), 5, 5),
                                 (1, 1, float("inf"), 5), (-9, 1, -2, 5)])
def test_a_box_without_area_or_end_is_dropped(box: tuple[float, ...]) -> None:
    got = read(one_box(box, (10, 20, 30, 40)), WITH_CLASS, STRETCHED, Parameters())
    assert got.boxes.tolist() == [[20, 60, 60, 120]]


@pytest.mark.filterwarnings("error")
def test_a_size_that_overflows_is_dropped() -> None:
    rows = with_scores(JOINED, encoding="grid")
    rows[0, 7, 2] = 1000
    got = read({"o": rows}, spec(**BOX_SCORES, boxes="grid", strides=STRIDES), STRETCHED, Parameters())
    assert len(got) == CELLS - 1


def test_a_row_whose_score_is_no_number_is_dropped() -> None:
    rows = with_scores(JOINED)
    rows[0, 7, 4:] = np.nan
    assert len(read({"o": rows}, spec(**BOX_SCORES), STRETCHED, Parameters())) == CELLS - 1


@pytest.mark.parametrize(("own", "asked", "left"), [(0.25, None, 3), (0.5, None, 2), (0.5, 0.0, 3), (0.25, 0.8, 1),
                                                    (0.25, 0.81, 0)])
def test_the_callers_threshold_comes_before_the_models(own: float, asked: float | None, left: int) -> None:
    outputs = one_box((1, 1, 9, 9), (20, 1, 29, 9), (40, 1, 49, 9), (1, 20, 9, 29), scores=(0.3, 0.8, 0.5, 0.0))
    outputs["o"] = outputs["o"].astype(np.float64)
    model = spec(columns="box score class", threshold=own)
    assert len(read(outputs, model, STRETCHED, Parameters(threshold=asked))) == left


def test_the_threshold_is_for_objectness_times_score() -> None:
    boxes, objectness = np.array([[1, 1, 9, 9]] * 4), np.array([0.5, 0.5, 0.2, 0.26])
    rows = beside(boxes, objectness, np.array([[0.4, 0, 0], [0.6, 0, 0], [1, 0, 0], [0, 1, 0]]))
    got = read({"o": rows}, spec(**BOX_OBJECTNESS), STRETCHED, Parameters(threshold=0.25))
    assert got.scores == pytest.approx([0.3, 0.26])


@pytest.mark.parametrize(("nms", "asked", "left"), [
    ("per-class", None, [0, 2]), ("all", None, [0]), ("none", None, [0, 1, 2]), ("per-class", 0.9, [0, 1, 2]),
    ("all", 0.9, [0, 1, 2]), ("none", 0.1, [0, 1, 2])])
def test_boxes_suppress_each_other_by_the_models_rule(nms: str, asked: float | None, left: list[int]) -> None:
    outputs = one_box((0, 0, 10, 10), (0, 0, 10, 8), (0, 0, 8, 10), scores=(0.9, 0.8, 0.7), classes=(0, 0, 1))
    model = spec(columns="box score class", nms=nms, iou=0.5)
    got = read(outputs, model, STRETCHED, Parameters(iou=asked))
    assert got.scores == pytest.approx([(0.9, 0.8, 0.7)[row] for row in left])


def test_a_row_counts_for_its_best_class_only() -> None:
    rows = beside(np.array([[1, 1, 9, 9]]), np.array([[0.6, 0.9, 0.7]]))
    got = read({"o": rows}, spec(**BOX_SCORES), STRETCHED, Parameters())
    assert (got.classes.tolist(), got.scores.tolist()) == ([1], pytest.approx([0.9]))


@pytest.mark.parametrize(("background", "numbers", "labels"), [
    ("none", (0, 1, 2), [0, 1, 2]), ("first", (0, 1, 3), [0, 2]), ("last", (0, 3, 2), [0, 2]),
    ("none", (-1, 1, 2), [1, 2])])
def test_rows_of_the_background_are_dropped(background: str, numbers: tuple[int, ...], labels: list[int]) -> None:
    outputs = one_box((1, 1, 9, 9), (20, 1, 29, 9), (40, 1, 49, 9), classes=numbers)
    model = spec(columns="box score class", background=background)
    assert read(outputs, model, STRETCHED, Parameters()).classes.tolist() == labels


def test_only_the_best_candidates_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "MAX_CANDIDATES", 5)
    got = read({"o": with_scores(JOINED)}, spec(**BOX_SCORES), STRETCHED, Parameters())
    assert got.scores == pytest.approx(np.sort(JOINED.scores)[::-1][:5], abs=1e-6)


@pytest.mark.parametrize("outputs", [{"o": np.empty((1, 0, 6), np.float32)}, {"o": np.empty((0, 6), np.float32)},
                                     {"o": np.zeros((1, 9, 6), np.float32)}])
def test_nothing_found_is_no_error(outputs: Outputs) -> None:
    value = read(outputs, WITH_CLASS, STRETCHED, Parameters(threshold=0))
    assert result(value, WITH_CLASS, (128, 144), Parameters()) == {"task": NAME, "predictions": []}


def test_a_result_lists_label_score_and_box_of_the_best() -> None:
    value = Detections(np.array([[1.234, 2, 3.456, 4], [0, 0, 1, 1]]), np.array([0.12345678, 0.1]), np.array([2, 0]))
    assert result(value, WITH_CLASS, (128, 144), Parameters(top_k=1)) == {"task": NAME, "predictions": [
        {"label": "owl", "score": 0.123457, "box": {"xmin": 1.23, "ymin": 2.0, "xmax": 3.46, "ymax": 4.0}}]}


@pytest.mark.parametrize("nms", ["none", "per-class"])
def test_no_more_than_top_k_are_read(nms: str) -> None:
    got = read({"o": with_scores(JOINED)}, spec(**BOX_SCORES, nms=nms, iou=1), STRETCHED, Parameters(top_k=7))
    assert got.scores == pytest.approx(np.sort(JOINED.scores)[::-1][:7], abs=1e-6)


SEPARATE: Outputs = {"b": JOINED.boxes[None], "s": JOINED.table[None]}
TWO = {"boxes": "b", "scores": "s"}
MISFITS: dict[str, tuple[Outputs, ModelSpec, str]] = {
    "more classes than labels": (
        {"o": np.zeros((1, 85, 8400))}, spec(**BOX_SCORES),
        "output of shape [1, 85, 8400] does not hold 4 box numbers and 3 scores a row: "
        "set labels, or [output] columns, in model.toml"),
    "objectness": (
        {"o": np.zeros((1, 10, 7))}, spec(**BOX_OBJECTNESS, background="last"),
        "output of shape [1, 10, 7] does not hold 4 box numbers, objectness and 4 scores a row: "
        "set labels, or [output] columns, in model.toml"),
    "a batch of two": (
        {"o": np.zeros((2, 10, 6))}, spec(columns="box score class"),
        "output of shape [2, 10, 6] does not hold 4 box numbers, a score and a class a row: "
        "set labels, or [output] columns, in model.toml"),
    "end2end": (
        {"o": np.zeros((10, 6))}, spec(columns="batch box class score"),
        "output of shape [10, 6] does not hold a batch number, 4 box numbers, a class and a score a row: "
        "set labels, or [output] columns, in model.toml"),
    "a class without a label": (
        one_box((1, 1, 9, 9), classes=(3,)), spec(columns="box score class"),
        "a row is of class 3, counted from 0, but there are 3 labels: "
        "set labels, or [output] background, in model.toml"),
    "no labels": ({"o": with_scores(JOINED)}, spec(**BOX_SCORES, labels=()),
                  "the model's classes have no names: set labels in model.toml"),
    "no boxes": (SEPARATE, spec(names={"scores": "s"}),
                 "none of the outputs b, s is known to hold the boxes: "
                 "set boxes in [output.names], or [output] columns, in model.toml"),
    "boxes of five numbers": (
        {"b": np.zeros((1, 9, 5)), "s": np.zeros((1, 9, 3))}, spec(names=TWO),
        "output of shape [1, 9, 5] does not hold 4 box numbers a row: "
        "set boxes in [output.names], or [output] columns, in model.toml"),
    "separate scores of other classes": (
        SEPARATE, spec(names=TWO, labels=("a", "b")),
        "output of shape [1, 60, 3] does not hold 2 scores for each of 60 boxes: "
        "set labels, [output] background, or scores in [output.names], in model.toml"),
    "no strides": ({"o": with_scores(JOINED)}, spec(**BOX_SCORES, boxes="grid"),
                   "60 boxes are not one or two for each of the 0 cells that strides [] make of an input of 64x48: "
                   "set [output] strides, or [output] boxes, in model.toml"),
    "other strides": ({"o": with_scores(JOINED)}, spec(**BOX_SCORES, boxes="ltrb", strides=(8, 32)),
                      "60 boxes are not one or two for each of the 52 cells that strides [8, 32] make of an input of "
                      "64x48: "
                      "set [output] strides, or [output] boxes, in model.toml"),
    "maps of other strides": (
        dict(zip("ab", maps(with_scores(JOINED)[0]), strict=True)), spec(**BOX_SCORES, strides=(8, 32)),
        "no output of shapes [[1, 7, 6, 8], [1, 7, 3, 4]] is the map of stride 32, 2x2 cells of 4 box numbers and "
        "3 scores: set labels, [output] columns, or [output] strides, in model.toml"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_outputs_that_do_not_fit_say_what_to_set(name: str) -> None:
    outputs, model, text = MISFITS[name]
    with pytest.raises(ValueError) as error:
        read(outputs, model, STRETCHED, Parameters())
    assert str(error.value) == text


@pytest.mark.parametrize("given", [{"top_k": 0}, {"threshold": -0.1}, {"threshold": "nan"}, {"iou": 1.1}, {"k": 1}])
def test_wrong_parameters_are_refused(given: dict) -> None:
    with pytest.raises(ValidationError):
        Parameters.model_validate(given)


def test_labels_are_counted_from_the_first() -> None:
    value = read(one_box((1, 1, 9, 9), classes=(2,)), WITH_CLASS, STRETCHED, Parameters())
    assert result(value, WITH_CLASS, (128, 144), Parameters())["predictions"][0]["label"] == LABELS[2]
