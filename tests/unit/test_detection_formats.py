"""Detections written in every format of the field's models come back as they were."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.geometry import Placement
from inference.parameters import DetectionParameters as Parameters
from inference.spec import ModelSpec
from inference.tasks.detection import Detections, read
from tests.unit.detections import (
    CELLS,
    INPUT,
    OBJECTNESS,
    STRETCHED,
    STRIDES,
    Found,
    beside,
    encoded,
    found,
    logit,
    maps,
    spec,
    with_class,
    with_objectness,
    with_scores,
)

Outputs = dict[str, NDArray]
JOINED = found(CELLS)


def padded(rows: NDArray) -> NDArray:
    return np.pad(rows, ((0, 0), (0, 7), (0, 0)))


def separate(value: Found = JOINED, **shapes: Callable[[NDArray], NDArray]) -> Outputs:
    plain = {"b": value.boxes[None].astype(np.float32), "s": value.table[None].astype(np.float32)}
    return {name: shapes.get(name, lambda array: array)(array) for name, array in plain.items()}


def transposed(array: NDArray) -> NDArray:
    return np.ascontiguousarray(np.swapaxes(array, 1, 2))


TWO = {"boxes": "b", "scores": "s"}
THREE = TWO | {"classes": "c"}
BOX_SCORES: dict[str, Any] = {"columns": "box scores"}
BOX_OBJECTNESS: dict[str, Any] = {"columns": "box objectness scores"}
OBJECTS = {"o": np.full((1, CELLS), OBJECTNESS, np.float32)}
NAMED = {"s": JOINED.scores[None].astype(np.float32), "c": JOINED.classes[None].astype(np.float32)}
LOGITS = beside(np.log(JOINED.table), np.log(1 - JOINED.table.sum(axis=1)))  # the last is the background's
FORMATS: dict[str, tuple[Outputs, ModelSpec]] = {
    "YOLOv8 [1, 4+C, N]": ({"o": transposed(with_scores(JOINED))}, spec(**BOX_SCORES)),
    "YOLOv8 by rows [1, N, 4+C]": ({"o": with_scores(JOINED)}, spec(**BOX_SCORES)),
    "without the batch axis [N, 4+C]": ({"o": with_scores(JOINED)[0]}, spec(**BOX_SCORES)),
    "behind other outputs": ({"x": np.zeros((1, 2)), "o": with_scores(JOINED)},
                             spec(**BOX_SCORES, names={"boxes": "o"})),
    "scores with a background": ({"o": beside(JOINED.boxes, np.full(CELLS, 0.99), JOINED.table)},
                                 spec(**BOX_SCORES, background="first")),
    "YOLOv5 [1, N, 5+C]": ({"o": with_objectness(JOINED)}, spec(**BOX_OBJECTNESS)),
    "YOLOv5 transposed [1, 5+C, N]": ({"o": transposed(with_objectness(JOINED))}, spec(**BOX_OBJECTNESS)),
    "built-in NMS [1, N, 6]": ({"o": padded(with_class(JOINED))}, spec(columns="box score class")),
    "built-in NMS without the batch axis [N, 6]": ({"o": with_class(JOINED)[0]}, spec(columns="box score class")),
    "YOLOv7 end2end [N, 7]": ({"o": beside(np.zeros(CELLS), JOINED.boxes, JOINED.classes, JOINED.scores)[0]},
                              spec(columns="batch box class score")),
    "separate [1, N, 4], [1, N, C]": (separate(), spec(names=TWO)),
    "separate [N, 4], [N, C]": (separate(b=np.squeeze, s=np.squeeze), spec(names=TWO)),
    "separate [1, N, 1, 4]": (separate(b=lambda boxes: boxes[:, :, None]), spec(names=TWO)),
    "separate, transposed [1, 4, N], [1, C, N]": (separate(b=transposed, s=transposed), spec(names=TWO)),
    "separate with classes [1, N]": (separate() | NAMED, spec(names=THREE)),
    "separate with classes [N] from 1 on": (separate() | {"s": NAMED["s"][0], "c": NAMED["c"][0].astype(np.int64) + 1},
                                            spec(names=THREE, background="first")),
    "separate with objectness [1, N]": (separate(s=lambda scores: scores / OBJECTNESS) | OBJECTS,
                                        spec(names=TWO | {"objectness": "o"})),
    "separate with objectness [1, N, 1]": (
        separate(s=lambda scores: scores / OBJECTNESS) | {"o": OBJECTS["o"][:, :, None]},
        spec(names=TWO | {"objectness": "o"})),
    "DETR, logits with the background last": (separate() | {"s": LOGITS},
                                              spec(names=TWO, activation="softmax", background="last")),
    "SSD, logits with the background first": (separate() | {"s": np.roll(LOGITS, 1, axis=2)},
                                              spec(names=TWO, activation="softmax", background="first")),
    "RT-DETR, logits": (separate(s=logit), spec(names=TWO, activation="sigmoid")),
    "logits of objectness and scores": (
        {"o": beside(JOINED.boxes, logit(OBJECTS["o"][0]), logit(JOINED.table / OBJECTNESS))},
        spec(**BOX_OBJECTNESS, activation="sigmoid")),
    "a map per stride [1, K, h, w]": (dict(zip("ab", maps(with_scores(JOINED)[0]), strict=True)),
                                      spec(**BOX_SCORES, strides=STRIDES)),
    "maps in another order": (dict(zip("ba", maps(with_scores(JOINED)[0])[::-1], strict=True)),
                              spec(**BOX_SCORES, strides=STRIDES)),
    "a map per stride [1, h, w, K]": ({name: np.moveaxis(values, 1, 3) for name, values in
                                       zip("ab", maps(with_objectness(JOINED, encoding="grid")[0]), strict=True)},
                                      spec(**BOX_OBJECTNESS, boxes="grid", strides=STRIDES)),
    "YOLOX, flattened": ({"o": with_objectness(JOINED, encoding="grid")},
                         spec(**BOX_OBJECTNESS, boxes="grid", strides=STRIDES)),
    "FCOS, flattened": ({"o": with_scores(JOINED, encoding="ltrb")}, spec(**BOX_SCORES, boxes="ltrb", strides=STRIDES)),
    "FCOS, separate": (separate() | {"b": encoded(JOINED.boxes, "ltrb")[None]},
                       spec(names=TWO, boxes="ltrb", strides=STRIDES)),
}


def seen(value: Detections) -> list[tuple[int, float, list[float]]]:
    return list(zip(value.classes.tolist(), value.scores.tolist(), value.boxes.tolist(), strict=True))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_back_what_was_written(name: str) -> None:
    outputs, model = FORMATS[name]
    expected = JOINED.best_first()
    got = read(outputs, model, STRETCHED, Parameters())
    assert got.classes.tolist() == [classed for classed, _, _ in expected]
    assert got.scores == pytest.approx([score for _, score, _ in expected], abs=1e-5)
    assert got.boxes == pytest.approx(np.array([box for _, _, box in expected]), abs=1e-3)


@pytest.mark.parametrize("encoding", ["xyxy", "xywh", "cxcywh", "yxyx", "grid", "ltrb"])
def test_every_box_encoding_is_understood(encoding: str) -> None:
    model = spec(**BOX_SCORES, boxes=encoding, strides=STRIDES)
    got = read({"o": with_scores(JOINED, encoding=encoding)}, model, STRETCHED, Parameters())
    assert got.boxes == pytest.approx(np.array([box for _, _, box in JOINED.best_first()]), abs=1e-3)


@pytest.mark.parametrize("encoding", ["xyxy", "xywh", "cxcywh", "yxyx"])
def test_normalised_boxes_are_shares_of_the_input(encoding: str) -> None:
    shares = replace(JOINED, boxes=JOINED.boxes / (INPUT * 2))
    model = spec(**BOX_SCORES, boxes=encoding, units="normalised")
    got = read({"o": with_scores(shares, encoding)}, model, STRETCHED, Parameters())
    assert got.boxes == pytest.approx(np.array([box for _, _, box in JOINED.best_first()]), abs=1e-3)


def test_a_grid_is_rounded_up_where_a_stride_does_not_divide_the_input() -> None:
    placement = Placement((20, 9), (0, 0, 20, 9), (20, 9), (0, 0, 20, 9))  # 3 x 2 cells of 8 pixels
    rows = np.zeros((1, 6, 5), np.float32)
    rows[0, 5] = (0.25, 0.0, np.log(0.5), np.log(0.125), 0.9)  # the cell at (2, 1)
    got = read({"o": rows}, spec(**BOX_SCORES, labels=("a",), boxes="grid", strides=(8,)), placement, Parameters())
    assert got.boxes == pytest.approx(np.array([[16, 7.5, 20, 8.5]]))


def test_float16_is_read_as_float32_is() -> None:
    half = with_scores(JOINED).astype(np.float16)
    model = spec(**BOX_SCORES)
    assert seen(read({"o": half}, model, STRETCHED, Parameters())) == \
        seen(read({"o": half.astype(np.float32)}, model, STRETCHED, Parameters()))


def test_a_square_output_is_read_as_ultralytics_writes_it() -> None:
    rows = found(7, seed=3)
    got = read({"o": transposed(with_scores(rows))}, spec(**BOX_SCORES), STRETCHED, Parameters())
    assert got.scores == pytest.approx(np.sort(rows.scores)[::-1], abs=1e-6)


def test_a_query_with_a_sigmoid_for_each_class_may_be_several_of_them() -> None:
    """As post_process_object_detection of RT-DETR, Deformable DETR and D-FINE in transformers."""
    outputs = {"b": np.array([[[5.0, 6, 25, 26], [30, 30, 40, 40]]], np.float32),
               "s": logit(np.array([[[0.6, 0.1, 0.9], [0.1, 0.3, 0.2]]])).astype(np.float32)}
    value = read(outputs, spec(names=TWO, activation="sigmoid", nms="none"), STRETCHED, Parameters(threshold=0.5))
    told = sorted(zip(value.classes.tolist(), value.scores.round(3).tolist(), value.boxes[:, 0].round().tolist(),
                      strict=True))
    assert [(label, score) for label, score, _ in told] == [(0, 0.6), (2, 0.9)]
    assert told[0][2] == told[1][2]
    all_pairs = read(outputs, spec(names=TWO, activation="sigmoid", nms="none"), STRETCHED, Parameters(threshold=0))
    assert len(all_pairs) == len(outputs["b"][0])
