"""Detectors that write an output of each role for each stride, or a grid, as their exporters name and shape them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.errors import ModelNotUsable
from inference.findings.sources import TEST_IMAGE
from inference.skeleton import FACE_KEYPOINTS
from inference.spec import ModelSpec
from tests.answering import answering
from tests.unit.findings_helpers import found, source_of
from tests.unit.images import encode, plain
from tests.unit.predicting import loaded, result

SIDE = 64  # pixels of the models' inputs, and of the image that is posted
BOX = (8.0, 28.0, 32.0, 44.0)
POINTS = ((14, 32), (26, 32), (20, 36), (15, 41), (25, 41))
LABELS = ("cat", "dog", "owl")
BINS = 8
Outputs = dict[str, NDArray]
TOP_LEFT, MIDDLE = 0.0, 0.5


def put(models: Path, outputs: Outputs, labels: tuple[str, ...] = (), toml: str = "",
        image: tuple = (1, 3, SIDE, SIDE), shapes: Mapping[str, tuple] | None = None) -> ModelSpec:
    folder = models / "m"
    answering(folder / "model.onnx", outputs, image, shapes)
    if labels:
        (folder / "labels.txt").write_text("\n".join(labels))
    if toml:
        (folder / "model.toml").write_text(toml)
    return loaded(models).spec


def predicted(models: Path, size: tuple[int, int] = (SIDE, SIDE)) -> list[dict]:
    return result(loaded(models), encode(plain(size), "PNG"))["predictions"]


def told(prediction: dict) -> tuple[str, float, list[float]]:
    return prediction["label"], round(prediction["score"], 4), [round(side, 2) for side in prediction["box"].values()]


def cell_of(stride: int) -> tuple[int, int, int]:
    """Column, row and number of the cell in which the middle of the box lies."""
    column, row = int((BOX[0] + BOX[2]) / 2 // stride), int((BOX[1] + BOX[3]) / 2 // stride)
    return column, row, row * (SIDE // stride) + column


def cells(stride: int) -> int:
    return (SIDE // stride) ** 2


def rows(stride: int, *values: float, of_cell: int = 1) -> NDArray:
    """[n, k], empty but for the last row of the box's cell."""
    matrix = np.zeros((cells(stride) * of_cell, len(values)))
    matrix[cell_of(stride)[2] * of_cell + of_cell - 1] = values
    return matrix


def distances(stride: int, point: float) -> list[float]:
    """From a point of the cell to the four sides of the box, in strides."""
    column, row, _ = cell_of(stride)
    x, y = (column + point) * stride, (row + point) * stride
    return [(x - BOX[0]) / stride, (y - BOX[1]) / stride, (BOX[2] - x) / stride, (BOX[3] - y) / stride]


def distributed(values: list[float], bins: int = BINS) -> list[float]:
    """Logits whose distributions have these means."""
    shares = np.full((len(values), bins), 1e-12)
    for number, value in enumerate(values):
        low = int(value)
        shares[number, low] += 1 - (value - low)
        shares[number, low + 1] += value - low
    return list(np.log(shares).ravel())


def around_cell(stride: int) -> list[float]:
    """Five points in strides from the corner of the box's cell."""
    column, row, _ = cell_of(stride)
    return [side for x, y in POINTS for side in (x / stride - column, y / stride - row)]


# YuNet


def yunet(found_at: int = 16) -> Outputs:
    column, row, _ = cell_of(found_at)
    middle = ((BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2)
    size = np.log(((BOX[2] - BOX[0]) / found_at, (BOX[3] - BOX[1]) / found_at))
    box = [middle[0] / found_at - column, middle[1] / found_at - row, *size]
    values = {"cls": [0.9], "obj": [0.8], "bbox": box, "kps": around_cell(found_at)}
    return {f"{role}_{stride}": (rows(stride, *numbers) if stride == found_at else
                                 np.zeros((cells(stride), len(numbers))))[np.newaxis]
            for role, numbers in values.items() for stride in (8, 16, 32)}


def test_yunet_finds_faces_with_five_points(tmp_path: Path) -> None:
    spec = put(tmp_path, yunet())
    [face] = predicted(tmp_path)
    assert told(face) == ("face", 0.8485, list(BOX))
    assert [(point["label"], point["x"], point["y"], point["score"]) for point in face["keypoints"]] == [
        (name, x, y, None) for name, (x, y) in zip(FACE_KEYPOINTS, POINTS, strict=True)]
    assert (spec.task, spec.input.color, spec.input.scale, spec.input.anchor, spec.output.iou) == (
        "keypoint-detection", "BGR", 1.0, "top-left", 0.3)
    [warning] = spec.warnings
    assert "taken for YuNet" in warning


def test_yunet_in_an_input_of_its_own_shape_is_filled_at_the_right_and_below(tmp_path: Path) -> None:
    put(tmp_path, yunet())
    [face] = predicted(tmp_path, (128, 64))
    assert told(face)[2] == [16, 56, 64, 64]  # cut off at the image's rim


def test_pixels_that_a_person_describes_are_no_assumption(tmp_path: Path) -> None:
    assert put(tmp_path, yunet(), toml='[input]\ncolor = "RGB"').warnings == ()


def test_yunet_with_open_sides_leaves_images_their_size(tmp_path: Path) -> None:
    """As cv::FaceDetectorYN does it, which fills them up to 32 pixels."""
    shapes = {f"{role}_{stride}": (1, "cells", width) for role, width in
              (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)) for stride in (8, 16, 32)}
    spec = found(tmp_path, shapes, {"input": (1, 3, "height", "width")})
    assert (spec.input.size, spec.input.resize, spec.input.multiple_of, spec.input.rounding, spec.input.fill) == (
        None, "fit", 32, None, (0.0,) * 3)


# SCRFD


def scrfd(points: bool = True) -> Outputs:
    """Two rows for each cell."""
    values = {"score": [0.8], "bbox": distances(8, TOP_LEFT)} | ({"kps": around_cell(8)} if points else {})
    return {f"{role}_{stride}": rows(stride, *numbers, of_cell=2) if stride == 8 else
            np.zeros((cells(stride) * 2, len(numbers)))
            for role, numbers in values.items() for stride in (8, 16, 32)}


def unnamed(outputs: Outputs) -> Outputs:
    return {str(448 + 23 * number): values for number, values in enumerate(outputs.values())}


@pytest.mark.parametrize("outputs", [scrfd(), unnamed(scrfd()), {name: values[np.newaxis]
                                                                 for name, values in scrfd().items()}],
                         ids=["names", "numbers", "batch axis"])
def test_scrfd_finds_faces_with_five_points(tmp_path: Path, outputs: Outputs) -> None:
    spec = put(tmp_path, outputs)
    [face] = predicted(tmp_path)
    assert told(face) == ("face", 0.8, list(BOX))
    assert [(point["x"], point["y"]) for point in face["keypoints"]] == list(POINTS)
    assert (spec.task, spec.input.color, spec.input.mean, spec.input.std) == (
        "keypoint-detection", "RGB", (127.5,) * 3, (128.0,) * 3)
    assert (spec.output.point, spec.output.threshold, spec.output.iou) == ("corner", 0.5, 0.4)
    assert "taken for SCRFD" in spec.warnings[0]


@pytest.mark.parametrize("name", [lambda outputs: outputs, unnamed])
def test_scrfd_without_points_is_a_detector(tmp_path: Path, name: Any) -> None:
    spec = put(tmp_path, name(scrfd(points=False)))
    assert [told(face) for face in predicted(tmp_path)] == [("face", 0.8, list(BOX))]
    assert spec.task == "object-detection"


@pytest.mark.parametrize(("rows_of", "size"), [
    ({8: 12800, 16: 3200, 32: 800}, 640), ({8: 3200, 16: 800, 32: 200}, 320), ({8: "?", 16: "?", 32: "?"}, 640)])
def test_scrfd_of_open_sides_takes_the_size_that_it_was_traced_with(tmp_path: Path, rows_of: dict, size: int) -> None:
    """insightface's own size where the file tells none."""
    shapes = {f"{role}_{stride}": (count, width) for role, width in (("score", 1), ("bbox", 4), ("kps", 10))
              for stride, count in rows_of.items()}
    spec = found(tmp_path, shapes, {"input.1": (1, 3, "?", "?")})
    assert (spec.task, spec.input.size, spec.input.resize) == ("keypoint-detection", (size, size), "letterbox")


# NanoDet


def nanodet_rows(found_at: int, strides: tuple[int, ...], point: float) -> NDArray:
    """[1, cells, classes + 4 * bins]: scores, then distances."""
    row = [0.1, 0.7, 0.05, *distributed(distances(found_at, point))]
    return np.concatenate([rows(stride, *row) if stride == found_at else np.zeros((cells(stride), len(row)))
                           for stride in strides])[np.newaxis]


PLUS, OLD = (8, 16, 32, 64), (8, 16, 32)


@pytest.mark.parametrize(("strides", "point", "labels"), [
    (PLUS, TOP_LEFT, LABELS), (PLUS, TOP_LEFT, ()), (OLD, MIDDLE, LABELS), (OLD, MIDDLE, ())],
    ids=["plus", "plus without labels", "old", "old without labels"])
def test_nanodet_with_one_output_tells_distances_by_distributions(tmp_path: Path, strides: tuple, point: float,
                                                                  labels: tuple) -> None:
    spec = put(tmp_path, {"output": nanodet_rows(16, strides, point)}, labels)
    [(label, score, box)] = [told(one) for one in predicted(tmp_path)]
    assert (label, score, box) == (labels[1] if labels else "1", 0.7, pytest.approx(BOX, abs=0.02))
    assert (spec.output.boxes, spec.output.bins, spec.output.columns, spec.output.strides) == (
        "dfl", BINS, "scores box", strides)
    assert (spec.input.color, spec.input.resize, spec.input.mean[0]) == ("BGR", "stretch", 103.53)
    assert "taken for NanoDet" in spec.warnings[0]


def nanodet_strides(transposed: bool) -> Outputs:
    outputs = {}
    for role, values in (("cls_pred", [0.1, 0.7, 0.05]), ("dis_pred", distributed(distances(16, MIDDLE)))):
        for stride in OLD:
            part = rows(stride, *values) if stride == 16 else np.zeros((cells(stride), len(values)))
            grid = SIDE // stride
            outputs[f"{role}_stride_{stride}"] = (part.T.reshape(-1, grid, grid) if transposed else part)[np.newaxis]
    return outputs


@pytest.mark.parametrize("outputs", [nanodet_strides(transposed=False), nanodet_strides(transposed=True),
                                     unnamed(nanodet_strides(transposed=False))], ids=["rows", "maps", "numbers"])
def test_nanodet_with_outputs_of_each_stride(tmp_path: Path, outputs: Outputs) -> None:
    spec = put(tmp_path, outputs, LABELS)
    [(label, score, box)] = [told(one) for one in predicted(tmp_path)]
    assert (label, score, box) == ("dog", 0.7, pytest.approx(BOX, abs=0.02))
    assert (spec.output.boxes, spec.output.bins, spec.output.point) == ("dfl", BINS, "center")


# FastestDet


def fastestdet(stride: int = 16) -> NDArray:
    """[1, 5 + classes, rows, columns] with the softmax of the classes."""
    grid = SIDE // stride
    values = np.zeros((1, 8, grid, grid))
    values[:, 5:] = 1 / 3
    column, row, _ = cell_of(stride)
    middle, size = ((BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2), (BOX[2] - BOX[0], BOX[3] - BOX[1])
    shares = np.array(size) / SIDE
    values[0, :, row, column] = (0.9, np.arctanh(middle[0] / stride - column), np.arctanh(middle[1] / stride - row),
                                 *np.log(shares / (1 - shares)), 0.1, 0.1, 0.8)
    return values


@pytest.mark.parametrize("labels", [LABELS, ()])
def test_fastestdet_has_one_grid(tmp_path: Path, labels: tuple[str, ...]) -> None:
    spec = put(tmp_path, {"809": fastestdet()}, labels)
    assert [told(one) for one in predicted(tmp_path)] == [(labels[2] if labels else "2", 0.72, list(BOX))]
    assert (spec.task, spec.input.color, spec.output.strides) == ("object-detection", "BGR", (16,))
    assert source_of(spec, "columns") == TEST_IMAGE
    assert "taken for FastestDet" in spec.warnings[0]


@pytest.mark.parametrize("outputs", [{"output": nanodet_rows(16, PLUS, TOP_LEFT)}, {"809": fastestdet()}])
def test_a_label_too_few_is_told(tmp_path: Path, outputs: Outputs) -> None:
    with pytest.raises(ModelNotUsable, match=r"2 labels .*3"):
        put(tmp_path, outputs, LABELS[:2])


def test_a_map_of_as_many_scores_is_no_detector(tmp_path: Path) -> None:
    scores = np.full((1, 8, 8, 8), 1 / 8)
    scores[:, 3] += 0.2
    assert put(tmp_path, {"out": scores}).task == "image-segmentation"


# UltraFace


def test_ultraface_is_known_by_its_rows(tmp_path: Path) -> None:
    """3, 2, 2 and 3 boxes for each cell of 8, 16, 32 and 64 pixels."""
    count = 3 * 64 + 2 * 16 + 2 * 4 + 3
    boxes, scores = np.tile([0.1, 0.1, 0.2, 0.2], (1, count, 1)), np.tile([0.99, 0.01], (1, count, 1))
    boxes[0, 7], scores[0, 7] = [side / SIDE for side in BOX], (0.1, 0.9)
    spec = put(tmp_path, {"scores": scores, "boxes": boxes})
    assert [told(one) for one in predicted(tmp_path)] == [("face", 0.9, list(BOX))]
    assert (spec.input.color, spec.input.scale, spec.input.mean, spec.input.std) == (
        "RGB", 1.0, (127.0,) * 3, (128.0,) * 3)
    assert "taken for UltraFace" in spec.warnings[0]


# model.toml

PARTS = """
task = "object-detection"
[output]
boxes = "dfl"
strides = [8, 16]
point = "corner"
[output.names]
boxes = ["a", "c"]
scores = ["b", "d"]
"""


def parts() -> Outputs:
    box = rows(16, *distributed(distances(16, TOP_LEFT))).T.reshape(-1, 4, 4)
    scores = rows(16, 0.1, 0.7, 0.05).T.reshape(-1, 4, 4)
    return {"a": np.zeros((1, 32, 8, 8)), "b": np.zeros((1, 3, 8, 8)), "c": box[np.newaxis], "d": scores[np.newaxis]}


def test_outputs_of_each_stride_can_be_named(tmp_path: Path) -> None:
    spec = put(tmp_path, parts(), LABELS, PARTS)
    [(label, score, box)] = [told(one) for one in predicted(tmp_path)]
    assert (label, score, box) == ("dog", 0.7, pytest.approx(BOX, abs=0.02))
    assert spec.output.bins == BINS
    assert {"boxes": ["a", "c"], "scores": ["b", "d"]} in [finding.value for finding in spec.findings]


@pytest.mark.parametrize(("before", "after", "reason"), [
    ('["a", "c"]', '["a"]', "output.names.boxes: 1 output for 2 strides"),
    ('["a", "c"]', '["a", "x"]', 'the model has no output "x"'),
    ('["a", "c"]', "3", "output.names.boxes: expected the name of an output"),
    ('["a", "c"]', '["c", "a"]', "not one or two rows for each of 8x8 cells"),
    ('boxes = "dfl"', "", "boxes and units cannot be found out: add boxes = \"ltrb\"")])
def test_names_that_do_not_fit_are_told(tmp_path: Path, before: str, after: str, reason: str) -> None:
    with pytest.raises(ModelNotUsable, match=reason):
        put(tmp_path, parts(), LABELS, PARTS.replace(before, after, 1))


def test_a_family_that_is_not_known_is_asked_for_what_its_boxes_mean(tmp_path: Path) -> None:
    outputs = {f"{role}_{stride}": np.full((1, cells(stride), count), 0.5) for role, count in (("cls", 3), ("reg", 4))
               for stride in (8, 16)}
    with pytest.raises(ModelNotUsable, match="boxes cannot be found out"):
        put(tmp_path, outputs, LABELS)
