"""Ultralytics' exports, by metadata as their exporters write it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from inference.errors import ModelNotUsable
from inference.findings.sources import ULTRALYTICS
from inference.skeleton import COCO_KEYPOINTS
from inference.spec import ModelSpec
from tests.unit.findings_helpers import Shape, found, source_of, value_of

NAMES = "{0: 'person', 1: 'traffic light'}"
METADATA = {
    "description": "Ultralytics YOLO11n model trained on coco.yaml", "author": "Ultralytics", "version": "8.3.40",
    "date": "2024-11-30T12:00:00.000000", "license": "AGPL-3.0 License (https://ultralytics.com/license)",
    "docs": "https://docs.ultralytics.com", "stride": "32", "task": "detect", "batch": "1", "imgsz": "[480, 640]",
    "names": NAMES, "args": "{'batch': 1, 'half': False, 'dynamic': False, 'nms': False}", "channels": "3",
}
IMAGES: dict[str, Shape] = {"images": (1, 3, 480, 640)}
YOLOV5 = {"stride": "32", "names": "['person', 'traffic light']"}


def exported(folder: Path, outputs: Mapping[str, Shape], changes: Mapping[str, str] | None = None,
             inputs: Mapping[str, Shape] = IMAGES, toml: str = "") -> ModelSpec:
    return found(folder, outputs, inputs, toml, {**METADATA, **(changes or {})})


def test_a_detector_needs_no_further_file(tmp_path: Path) -> None:
    spec = exported(tmp_path, {"output0": (1, 6, 6300)})
    assert (spec.task, spec.labels) == ("object-detection", ("person", "traffic light"))
    assert (spec.input.size, spec.input.resize, spec.input.fill) == ((640, 480), "letterbox", (114.0,) * 3)
    assert (spec.input.anchor, spec.input.resample, spec.input.scale) == ("center", "linear", 1 / 255)
    output = spec.output
    assert (output.columns, output.boxes, output.units, output.activation) == ("box scores", "cxcywh", "pixels", "none")
    assert (output.nms, output.threshold, output.iou) == ("per-class", 0.25, 0.7)
    assert {source_of(spec, fact) for fact in ("task", "labels", "columns", "boxes", "resize")} == {ULTRALYTICS}


def test_a_dynamic_export_takes_the_size_it_was_trained_with(tmp_path: Path) -> None:
    spec = exported(tmp_path, {"output0": ("batch", 6, "anchors")},
                    inputs={"images": ("batch", 3, "height", "width")})
    assert (spec.input.size, source_of(spec, "size"), value_of(spec, "size_is")) == ((640, 480), ULTRALYTICS, "dynamic")
    assert (spec.output.columns, spec.input.batch) == ("box scores", None)
    assert (spec.input.multiple_of, spec.input.in_rectangles) == (32, True)


def test_an_export_of_one_size_fills_all_of_it(tmp_path: Path) -> None:
    assert not exported(tmp_path, {"output0": (1, 6, 6300)}).input.in_rectangles


@pytest.mark.parametrize(("shape", "changes", "columns", "boxes", "nms"), [
    ((1, 300, 6), {"args": "{'nms': True}"}, "box score class", "xyxy", "none"),
    ((1, 300, 6), {"end2end": "True"}, "box score class", "xyxy", "none"),
    ((1, 300, 6), {}, "box score class", "xyxy", "none"),
    ((1, 300, 6), {"description": "Ultralytics RTDETR-l model"}, "box scores", "cxcywh", "none"),
    ((1, 300, 5), {"names": "{0: 'leaf'}", "description": "Ultralytics rt-detr-l"}, "box scores", "cxcywh", "none"),
    ((1, 84, 8400), {"names": str({number: str(number) for number in range(80)})}, "box scores", "cxcywh", "per-class"),
    ((1, 300, 84), {"names": str({number: str(number) for number in range(80)})}, "box scores", "cxcywh", "none"),
    ((1, 300, 6), {"head": "v10Detect", "end2end": "True"}, "box score class", "xyxy", "none"),
])
def test_each_layout_of_a_detector_is_recognised(tmp_path: Path, shape: Shape, changes: dict[str, str], columns: str,
                                                 boxes: str, nms: str) -> None:
    output = exported(tmp_path, {"output0": shape}, changes).output
    assert (output.columns, output.boxes, output.nms) == (columns, boxes, nms)
    assert output.units == ("normalised" if nms == "none" and columns == "box scores" else "pixels")


def test_yolov5_has_an_objectness(tmp_path: Path) -> None:
    spec = found(tmp_path, {"output0": (1, 18900, 7)}, IMAGES, metadata=YOLOV5)
    assert (spec.task, spec.output.columns) == ("object-detection", "box objectness scores")
    assert (spec.output.boxes, spec.output.nms, spec.labels) == ("cxcywh", "per-class", ("person", "traffic light"))


def test_yolov5_segments_with_an_objectness_too(tmp_path: Path) -> None:
    spec = found(tmp_path, {"output0": (1, 18900, 39), "output1": (1, 32, 120, 160)}, IMAGES, metadata=YOLOV5)
    assert (spec.task, spec.output.columns) == ("image-segmentation", "box objectness scores")


def test_yolov5_classifies_without_a_softmax_and_with_imagenets_mean(tmp_path: Path) -> None:
    spec = found(tmp_path, {"output0": (1, 2)}, {"images": (1, 3, 224, 224)}, metadata=YOLOV5)
    assert (spec.task, spec.output.activation, spec.input.resize) == ("image-classification", "softmax", "crop")
    assert (spec.input.mean, spec.input.shortest_edge) == ((0.485, 0.456, 0.406), None)


@pytest.mark.parametrize(("shape", "changes", "columns", "boxes"), [
    ((1, 38, 6300), {}, "box scores", "cxcywh"),
    ((1, 300, 38), {"args": "{'nms': True}"}, "box score class", "xyxy"),
    (("batch", 38, "anchors"), {}, "box scores", "cxcywh"),
])
def test_a_segmenter_has_rows_and_prototypes(tmp_path: Path, shape: Shape, changes: dict[str, str], columns: str,
                                             boxes: str) -> None:
    outputs: dict[str, Shape] = {"output0": shape, "output1": (1, 32, 120, 160)}
    spec = exported(tmp_path, outputs, {"task": "segment", **changes})
    assert (spec.task, spec.output.columns, spec.output.boxes) == ("image-segmentation", columns, boxes)
    assert dict(spec.output.names) == {"boxes": "output0", "masks": "output1"}
    assert spec.labels == ("person", "traffic light")


def test_a_classifier_crops_and_has_its_softmax_inside(tmp_path: Path) -> None:
    spec = exported(tmp_path, {"output0": (1, 2)}, {"task": "classify", "imgsz": "[224, 224]"},
                    {"images": (1, 3, 224, 224)})
    assert (spec.task, spec.output.activation) == ("image-classification", "none")
    assert (spec.input.resize, spec.input.shortest_edge, spec.input.crop_down) == ("crop", 224, False)
    assert spec.input.resample == "bilinear"  # by Pillow, which antialiases
    assert spec.input.mean == (0.0,) * 3


@pytest.mark.parametrize(("names", "changes", "columns"), [
    ({0: "person", 1: "car"}, {"head": "RTDETRDecoder"}, "box score class"),
    ({0: "person"}, {"description": "Ultralytics rtdetr-l model"}, "box score class"),
    ({0: "person", 1: "car"}, {"description": "Ultralytics rtdetr-l model"}, "box scores"),
])
def test_rt_detr_names_classes_or_scores_them(tmp_path: Path, names: dict[int, str], changes: dict[str, str],
                                              columns: str) -> None:
    spec = exported(tmp_path, {"output0": (1, 300, 6)}, {"names": str(names), **changes})
    assert (spec.output.columns, spec.output.boxes, spec.output.units) == (columns, "cxcywh", "normalised")
    assert (spec.output.nms, spec.input.resize, spec.input.resample) == ("none", "stretch", "linear")


POSE = {"task": "pose", "names": "{0: 'person'}", "kpt_shape": "[17, 3]"}


@pytest.mark.parametrize(("shape", "changes", "columns", "boxes", "nms"), [
    ((1, 56, 6300), {}, "box scores", "cxcywh", "per-class"),
    (("batch", 56, "anchors"), {}, "box scores", "cxcywh", "per-class"),
    ((1, 300, 57), {"args": "{'nms': True}"}, "box score class", "xyxy", "none"),
    ((1, 300, 57), {"end2end": "True", "head": "Pose26"}, "box score class", "xyxy", "none"),
])
def test_a_pose_model_has_rows_with_keypoints(tmp_path: Path, shape: Shape, changes: dict[str, str], columns: str,
                                              boxes: str, nms: str) -> None:
    spec = exported(tmp_path, {"output0": shape}, {**POSE, **changes})
    assert (spec.task, spec.labels, spec.input.resize) == ("keypoint-detection", ("person",), "letterbox")
    assert (spec.output.columns, spec.output.boxes, spec.output.nms) == (columns, boxes, nms)
    assert (spec.output.keypoints, spec.output.keypoint_labels) == ((17, 3), COCO_KEYPOINTS)
    assert source_of(spec, "keypoints") == ULTRALYTICS


def test_keypoints_are_named_as_the_training_named_them(tmp_path: Path) -> None:
    changes = {**POSE, "kpt_shape": "(2, 2)", "kpt_names": "{0: ['tip', 'stem']}"}
    output = exported(tmp_path, {"output0": (1, 9, 6300)}, changes).output
    assert (output.keypoints, output.keypoint_labels) == ((2, 2), ("tip", "stem"))
    unnamed = exported(tmp_path, {"output0": (1, 9, 6300)}, {**POSE, "kpt_shape": "(2, 2)"}).output
    assert unnamed.keypoint_labels == ("0", "1")


@pytest.mark.parametrize(("shape", "changes", "columns", "nms"), [
    ((1, 7, 6300), {}, "box scores", "per-class"),
    ((1, 300, 7), {"args": "{'nms': True}"}, "box score class", "none"),
    ((1, 300, 7), {"end2end": "True", "head": "OBB26"}, "box score class", "none"),
])
def test_an_oriented_model_has_rows_with_an_angle(tmp_path: Path, shape: Shape, changes: dict[str, str], columns: str,
                                                  nms: str) -> None:
    spec = exported(tmp_path, {"output0": shape}, {"task": "obb", **changes})
    assert (spec.task, spec.output.oriented, spec.labels) == ("object-detection", True, ("person", "traffic light"))
    assert (spec.output.columns, spec.output.boxes, spec.output.nms) == (columns, "cxcywh", nms)


@pytest.mark.parametrize(("shape", "names", "activation", "datatype"), [
    ((1, 2, 480, 640), NAMES, "softmax", "FP32"), ((1, 1, 480, 640), "{0: 'leaf'}", "sigmoid", "FP32"),
    ((1, 480, 640), NAMES, "softmax", "UINT8"),
])
def test_a_semantic_model_tells_the_class_of_each_pixel(tmp_path: Path, shape: Shape, names: str, activation: str,
                                                        datatype: str) -> None:
    spec = found(tmp_path, {"output0": shape}, IMAGES, metadata={**METADATA, "task": "semantic", "names": names},
                 types={"output0": datatype})
    assert (spec.task, spec.tells_objects, spec.input.resize) == ("image-segmentation", False, "letterbox")
    assert spec.output.activation == activation


def test_a_depth_model_is_shown_a_stretched_image(tmp_path: Path) -> None:
    spec = exported(tmp_path, {"output0": (1, 1, 480, 640)}, {"task": "depth", "names": "{0: 'depth'}"})
    assert (spec.task, spec.input.resize, spec.output.names["depth"]) == ("depth-estimation", "stretch", "output0")


def test_a_classifier_of_a_rectangle_stretches(tmp_path: Path) -> None:
    spec = exported(tmp_path, {"output0": (1, 2)}, {"task": "classify", "imgsz": "[128, 256]"},
                    {"images": (1, 3, 128, 256)})
    assert (spec.input.resize, spec.input.size) == ("stretch", (256, 128))


def test_model_toml_beats_the_metadata(tmp_path: Path) -> None:
    toml = 'labels = ["a", "b"]\n[input]\nresize = "stretch"\n[output]\nthreshold = 0.5\nnms = "all"'
    spec = exported(tmp_path, {"output0": (1, 6, 6300)}, toml=toml)
    assert (spec.labels, spec.input.resize) == (("a", "b"), "stretch")
    assert (spec.output.threshold, spec.output.nms, spec.output.columns) == (0.5, "all", "box scores")


def test_the_shape_beats_imgsz(tmp_path: Path) -> None:
    assert exported(tmp_path, {"output0": (1, 6, 6300)}, inputs={"images": (1, 3, 320, 320)}).input.size == (320, 320)


@pytest.mark.parametrize(("changes", "told"), [
    ({"names": "{0: 'a', 1: 'b', 2: 'c'}"}, "3 labels for 2 classes"),
    ({"names": "{0: 'a', 2: 'b'}"}, "names: export the model again"), ({"names": "{0: "}, "names: export"),
    ({"names": "__import__('os')"}, "names: export"), ({"names": "7"}, "names: export"),
    ({"imgsz": "[640]"}, "imgsz: export"), ({"imgsz": "['a', 'b']"}, "imgsz: export"),
    ({"stride": "x"}, "stride: export"), ({"stride": "[]"}, "stride: export"), ({"args": "("}, "args: export"),
    ({"names": "(" * 3000}, "names: export"),
    ({"task": "pose"}, "kpt_shape: export"), ({"task": "pose", "kpt_shape": "[17, 4]"}, "kpt_shape: export"),
    ({"task": "pose", "kpt_shape": "17"}, "kpt_shape: export"),
])
def test_metadata_that_cannot_be_read_is_told(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    with pytest.raises(ModelNotUsable) as raised:
        exported(tmp_path, {"output0": (1, 6, 6300)}, changes)
    assert told in str(raised.value)


@pytest.mark.parametrize("names", ["['a', 'b']", "{0: 'a', 1: 'b'}", '{"0": "a", "1": "b"}'])
def test_names_are_read_in_each_form(tmp_path: Path, names: str) -> None:
    assert exported(tmp_path, {"output0": (1, 6, 6300)}, {"names": names}).labels == ("a", "b")


def test_a_single_imgsz_and_several_strides_are_read(tmp_path: Path) -> None:
    dynamic: dict[str, Shape] = {"images": ("b", 3, "h", "w")}
    assert exported(tmp_path, {"output0": (1, 6, "n")}, {"imgsz": "320", "stride": "[8, 16, 32]"}, dynamic
                    ).input.size == (320, 320)


def test_metadata_of_another_exporter_is_no_evidence(tmp_path: Path) -> None:
    spec = found(tmp_path, {"out": (1, 2)}, metadata={"names": "x", "author": "me"})
    assert (spec.task, spec.labels) == ("image-classification", ("0", "1"))
