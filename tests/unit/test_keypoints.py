"""Keypoints of rows, of outputs of their own, and of heat maps; their facts, and what is told and drawn of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.drawing.painters import draw
from inference.drawing.style import Style
from inference.errors import ModelNotUsable
from inference.geometry import Placement
from inference.heatmaps import peaks
from inference.parameters import DetectionParameters as Parameters
from inference.parameters import HeatmapParameters, parameters_of
from inference.skeleton import COCO_KEYPOINTS
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.tasks.keypoints import NAME, Poses, merge, read, result
from inference.tiling import cut
from tests.unit.detections import beside
from tests.unit.findings_helpers import Shape, found, source_of

LETTERBOXED = Placement((200, 100), (0, 0, 200, 100), (64, 64), (0, 16, 64, 48))
NAMES = ("tip", "stem")
BOX = [16, 24, 32, 40]
POINTS = [[20.0, 26.0, 0.9], [30.0, 38.0, 0.2]]


def model(labels: tuple[str, ...] = ("leaf",), **output: Any) -> ModelSpec:
    wanted: dict[str, Any] = {"names": {}, "columns": "box score class", "nms": "none", "keypoints": (2, 3),
                              "keypoint_labels": NAMES}
    return ModelSpec("m", "1", "keypoint-detection", labels, InputSpec("image", (64, 64)),
                     OutputSpec(**wanted | output))


def told(outputs: dict[str, NDArray], spec: ModelSpec, placement: Placement = LETTERBOXED) -> list[dict]:
    value = read(outputs, spec, placement, parameters_of(spec)())
    return result(value, spec, placement.image_size, parameters_of(spec)())["predictions"]


def test_the_keypoints_of_a_row_are_told_in_pixels_of_the_image() -> None:
    outputs = {"o": beside(*np.array([[*BOX, 0.8, 0, *np.ravel(POINTS)]]).T)}
    assert told(outputs, model()) == [{
        "label": "leaf", "score": 0.8, "box": {"xmin": 50.0, "ymin": 25.0, "xmax": 100.0, "ymax": 75.0},
        "keypoints": [{"label": "tip", "x": 62.5, "y": 31.25, "score": 0.9},
                      {"label": "stem", "x": 93.75, "y": 68.75, "score": 0.2}]}]


def test_rows_of_scores_are_suppressed_with_their_keypoints() -> None:
    first = [24, 32, 16, 16, 0.8, *np.ravel(POINTS)]
    second = [24, 32, 16, 15, 0.9, *np.ravel(POINTS) + 1]
    outputs = {"o": np.array([[first, second]], np.float32).transpose(0, 2, 1)}
    [only] = told(outputs, model(columns="box scores", boxes="cxcywh", nms="per-class"))
    assert (only["score"], only["keypoints"][0]["x"]) == (0.9, 65.62)


def test_keypoints_of_two_numbers_have_no_score() -> None:
    outputs = {"o": beside(*np.array([[*BOX, 0.8, 0, 20, 26, 30, 38]]).T)}
    [only] = told(outputs, model(keypoints=(2, 2)))
    assert only["keypoints"][1] == {"label": "stem", "x": 93.75, "y": 68.75, "score": None}


def test_keypoints_as_shares_are_of_the_input() -> None:
    shares = np.array([[0.25, 0.375, 0.5, 0.625, 0.8, 0, 0.5, 0.5, 1, 0.25, 0.5, 1]])
    [only] = told({"o": beside(*shares.T)}, model(units="normalised"))
    assert (only["keypoints"][0]["x"], only["keypoints"][0]["y"]) == (100, 50)


def test_a_point_beyond_the_image_is_moved_to_its_rim() -> None:
    outputs = {"o": beside(*np.array([[*BOX, 0.8, 0, -5, 10, 1, 70, 60, 1]]).T)}
    [only] = told(outputs, model())
    assert [(point["x"], point["y"]) for point in only["keypoints"]] == [(0, 0), (200, 100)]


TORCHVISION = {"boxes": "boxes", "scores": "scores", "classes": "labels", "keypoints": "keypoints",
               "keypoint_scores": "keypoints_scores"}


def torchvision_outputs(points: NDArray) -> dict[str, NDArray]:
    return {"boxes": np.array([BOX, BOX], np.float32), "labels": np.array([1, 1]), "scores": np.array([0.3, 0.9]),
            "keypoints": points, "keypoints_scores": np.array([[0.0, 2.0], [-2.0, 40.0]])}


def test_torchvisions_keypoints_are_an_output_of_their_own() -> None:
    points = np.array([POINTS, np.add(POINTS, 4)], np.float32)
    spec = model(columns=None, names=TORCHVISION, background="first", keypoints=(2, 3))
    best, second = told(torchvision_outputs(points), spec)
    assert (best["label"], best["score"], best["keypoints"][0]["x"]) == ("leaf", 0.9, 75)
    assert [point["score"] for point in best["keypoints"]] == pytest.approx([0.119203, 1])
    assert (second["keypoints"][0]["x"], second["keypoints"][0]["score"]) == (62.5, 0.5)


def test_a_merged_object_has_the_keypoints_that_its_tiles_are_surest_of() -> None:
    tiles = cut((300, 100), (200, 100), 100)
    placements = [Placement((300, 100), box, (200, 100), (0, 0, 200, 100)) for box in tiles.boxes()]
    rows = ([[20, 20, 200, 60, 0.6, 0, 30, 40, 0.9, 199, 40, 0.1]],
            [[0, 20, 180, 60, 0.8, 0, 0, 40, 0.2, 170, 45, 0.8]])
    spec = model()
    values = [(placement, read({"o": beside(*np.array(row).T)}, spec, placement, Parameters()))
              for placement, row in zip(placements, rows, strict=True)]
    [only] = result(merge(values, tiles, spec, Parameters()), spec, (300, 100), Parameters())["predictions"]
    assert only["box"] == {"xmin": 20, "ymin": 20, "xmax": 280, "ymax": 60}
    assert [(point["x"], point["score"]) for point in only["keypoints"]] == [(30, 0.9), (270, 0.8)]


def test_tiles_without_objects_have_none_together() -> None:
    tiles, spec = cut((300, 100), (200, 100), 100), model()
    empty = read({"o": np.zeros((1, 4, 12), np.float32)}, spec, LETTERBOXED, Parameters())
    assert result(merge([(LETTERBOXED, empty)] * 2, tiles, spec, Parameters()), spec, (300, 100), Parameters()) == \
        {"task": NAME, "predictions": []}


# Heat maps


def gaussian(centre: tuple[float, float], size: tuple[int, int] = (48, 64), deviation: float = 2.0) -> NDArray:
    x, y = (np.arange(side) for side in size)
    return 0.9 * np.exp(-((x - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2) / (2 * deviation ** 2))


@pytest.mark.parametrize("centre", [(20.0, 30.0), (20.3, 30.4), (5.45, 50.1)])
def test_a_peak_is_found_between_the_cells(centre: tuple[float, float]) -> None:
    points, scores = peaks(gaussian(centre)[None])
    assert points[0] == pytest.approx(centre, abs=0.02)
    assert scores[0] == pytest.approx(0.9, abs=0.06)


def test_a_flat_map_has_its_peak_at_the_first_cell() -> None:
    points, scores = peaks(np.zeros((2, 8, 6)))
    assert (points.tolist(), scores.tolist()) == ([[0, 0], [0, 0]], [0, 0])


def test_heat_maps_tell_one_object_of_the_whole_image() -> None:
    maps = np.array([[gaussian((0.0, 0.0)), gaussian((47.0, 63.0))]], np.float32)
    spec = model(columns=None, names={"heatmaps": "heatmaps"}, threshold=0.0)
    placement = Placement((192, 256), (0, 0, 192, 256), (192, 256), (0, 0, 192, 256))
    [only] = told({"heatmaps": maps}, spec, placement)
    assert only["box"] == {"xmin": 0, "ymin": 0, "xmax": 192, "ymax": 256}
    assert only["score"] == pytest.approx(0.9)
    points = [[point["x"], point["y"]] for point in only["keypoints"]]
    assert points == pytest.approx(np.array([[0.5, 0.5], [191.5, 255.5]]), abs=1)
    assert parameters_of(spec) is HeatmapParameters


def test_a_threshold_above_the_mean_score_leaves_nothing() -> None:
    maps = np.array([[gaussian((20.0, 30.0))] * 2], np.float32)
    spec = model(columns=None, names={"heatmaps": "heatmaps"}, threshold=0.0)
    assert len(read({"heatmaps": maps}, spec, LETTERBOXED, HeatmapParameters(threshold=0.95)).detections) == 0


def test_a_heat_map_of_another_shape_is_refused() -> None:
    spec = model(columns=None, names={"heatmaps": "h"})
    with pytest.raises(ValueError, match=r"output 'h' is \[2, 17, 8\]"):
        read({"h": np.zeros((2, 17, 8))}, spec, LETTERBOXED, HeatmapParameters())


# Facts


def test_torchvisions_keypoint_model_is_known_by_its_outputs(tmp_path: Path) -> None:
    outputs: dict[str, Shape] = {"boxes": ("n", 4), "labels": ("n",), "scores": ("n",), "keypoints": ("n", 17, 3),
                                 "keypoints_scores": ("n", 17)}
    spec = found(tmp_path, outputs, {"image": (1, 3, "height", "width")}, types={"labels": "INT64"})
    assert (spec.task, spec.input.resize, spec.input.size) == (NAME, "fit", None)
    assert dict(spec.output.names) == TORCHVISION
    assert (spec.output.keypoints, spec.output.keypoint_labels) == ((17, 3), COCO_KEYPOINTS)
    assert (spec.output.background, spec.output.nms) == ("first", "none")


def test_vitposes_heat_maps_are_keypoints_of_one_person(tmp_path: Path) -> None:
    spec = found(tmp_path, {"heatmaps": ("batch", 17, 64, 48)}, {"pixel_values": ("batch", 3, 256, 192)})
    assert (spec.task, spec.labels, spec.output.keypoint_labels) == (NAME, ("person",), COCO_KEYPOINTS)
    assert source_of(spec, "keypoint_labels") == "17 keypoints are COCO's"


def test_vitpose_is_shown_the_image_as_a_box_with_its_margin(tmp_path: Path) -> None:
    processor = {"image_processor_type": "VitPoseImageProcessor", "do_affine_transform": True,
                 "normalize_factor": 200.0, "size": {"height": 256, "width": 192},
                 "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "do_normalize": True}
    config = {"architectures": ["VitPoseForPoseEstimation"], "model_type": "vitpose",
              "id2label": {str(number): name for number, name in enumerate(COCO_KEYPOINTS)}}
    spec = found(tmp_path, {"heatmaps": ("batch", 17, 64, 48)}, {"pixel_values": ("batch", 3, "height", "width")},
                 files={"preprocessor_config.json": processor, "config.json": config})
    assert (spec.task, spec.labels, spec.output.keypoint_labels) == (NAME, ("person",), COCO_KEYPOINTS)
    assert (spec.input.size, spec.input.resize, spec.input.margin) == ((192, 256), "letterbox", 0.125)
    assert (spec.input.resample, spec.input.fill) == ("linear", (0, 0, 0))


def test_labels_beside_heat_maps_are_the_keypoints(tmp_path: Path) -> None:
    spec = found(tmp_path, {"heatmaps": ("batch", 2, 64, 48)}, {"pixel_values": ("batch", 3, 256, 192)},
                 files={"labels.txt": "tip\nstem\n"})
    assert (spec.labels, spec.output.keypoint_labels) == (("object",), NAMES)


def test_a_person_may_say_that_rows_end_with_keypoints(tmp_path: Path) -> None:
    toml = 'task = "keypoint-detection"\nlabels = ["leaf"]\n[output]\ncolumns = "box scores"\nkeypoints = [2, 3]\n' \
           'keypoint_labels = ["tip", "stem"]\n'
    output = found(tmp_path, {"o": (1, 11, 60)}, toml=toml).output
    assert (output.keypoints, output.keypoint_labels, output.boxes) == ((2, 3), NAMES, "cxcywh")


@pytest.mark.parametrize(("toml", "text"), [
    ("", "add keypoints = [17, 3]"),
    ('keypoints = [2, 3]\nkeypoint_labels = ["tip"]', "1 names for 2 keypoints"),
    ("keypoints = [2, 4]", "output.keypoints"),
])
def test_keypoints_that_are_missing_or_wrong_are_asked_for(tmp_path: Path, toml: str, text: str) -> None:
    written = 'task = "keypoint-detection"\nlabels = ["leaf"]\n[output]\ncolumns = "box scores"\n'
    with pytest.raises(ModelNotUsable) as raised:
        found(tmp_path, {"o": (1, 11, 60)}, toml=written + toml)
    assert text in str(raised.value)


# Drawing


def test_people_are_drawn_with_their_limbs() -> None:
    point = {"label": "p", "x": 0, "y": 0, "score": 0.1}
    keypoints = [dict(point) for _ in range(17)]
    keypoints[5] |= {"x": 40, "y": 30, "score": 0.9}
    keypoints[6] |= {"x": 80, "y": 30, "score": 0.9}
    drawn = draw(Image.new("RGB", (120, 90)), {"task": NAME, "predictions": [
        {"label": "person", "score": 0.9, "box": {"xmin": 20, "ymin": 60, "xmax": 100, "ymax": 80},
         "keypoints": keypoints}]}, Style(scale=1))
    assert drawn.getpixel((60, 30)) != (0, 0, 0)  # between the shoulders
    assert drawn.getpixel((60, 40)) == drawn.getpixel((1, 1)) == (0, 0, 0)


def test_keypoints_of_something_else_are_drawn_as_dots() -> None:
    keypoints = [{"label": "tip", "x": 30, "y": 20, "score": None}, {"label": "stem", "x": 90, "y": 20, "score": None}]
    drawn = draw(Image.new("RGB", (120, 90)), {"task": NAME, "predictions": [
        {"label": "leaf", "score": None, "box": {"xmin": 20, "ymin": 60, "xmax": 100, "ymax": 80},
         "keypoints": keypoints}]}, Style(scale=1))
    assert drawn.getpixel((30, 20)) != (0, 0, 0)
    assert drawn.getpixel((60, 20)) == (0, 0, 0)


def test_poses_of_no_object_have_no_keypoints() -> None:
    value = read({"o": np.zeros((1, 4, 12), np.float32)}, model(), LETTERBOXED, Parameters())
    assert isinstance(value, Poses)
    assert value.points.shape == (0, 2, 2)
