"""What a model without an exporter's files tells of itself, and what model.toml and labels.txt change."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.errors import ModelNotUsable
from inference.findings.sources import DEFAULT, LABELS_TXT, ONNX_SHAPES
from inference.model_toml import MODEL_TOML
from tests.unit.findings_helpers import Shape, found, found_with_constants, source_of, value_of

LOGITS: dict[str, Shape] = {"logits": ("batch", 2)}
YOLO: dict[str, Shape] = {"output0": (1, 6, 32)}
ANY_SIZE: dict[str, Shape] = {"image": ("n", 3, "h", "w")}


def test_a_model_without_files_is_read_from_its_shapes(tmp_path: Path) -> None:
    spec = found(tmp_path, LOGITS, {"image": ("batch", 3, 32, 48)})
    assert (spec.task, spec.labels, spec.output.activation) == ("image-classification", ("0", "1"), "softmax")
    assert (spec.input.size, spec.input.layout, spec.input.color) == ((48, 32), "NCHW", "RGB")
    assert (spec.input.scale, spec.input.mean, spec.input.std) == (1 / 255, (0.0,) * 3, (1.0,) * 3)
    assert (spec.input.datatype, spec.input.batch, spec.input.resize, spec.tiling) == ("FP32", None, "stretch", None)
    assert {fact: source_of(spec, fact) for fact in ("input", "task", "labels", "size", "layout", "color", "mean")} == {
        "input": ONNX_SHAPES, "task": ONNX_SHAPES, "labels": "numbered", "size": ONNX_SHAPES, "layout": ONNX_SHAPES,
        "color": DEFAULT, "mean": DEFAULT}
    assert (value_of(spec, "size_is"), value_of(spec, "batch")) == ("fixed", "dynamic")


def test_model_toml_overrides_everything(tmp_path: Path) -> None:
    spec = found(tmp_path, {"first": ("b", 2), "second": ("b", 2)}, {"image": ("b", "h", "w", 3)}, """
        task = "image-classification"
        labels = ["a", "b"]
        [input]
        name = "image"
        size = { width = 40, height = 30 }
        resize = "letterbox"
        anchor = "top-left"
        rounding = "down"
        fill = 7
        resample = "bicubic"
        layout = "NHWC"
        color = "BGR"
        scale = 1
        mean = [1, 2, 3]
        std = 4
        [output]
        activation = "sigmoid" """)
    assert (spec.labels, spec.output.activation, spec.input.size) == (("a", "b"), "sigmoid", (40, 30))
    assert (spec.input.layout, spec.input.color, spec.input.resize) == ("NHWC", "BGR", "letterbox")
    assert (spec.input.fill, spec.input.anchor, spec.input.resample) == ((7.0,) * 3, "top-left", "bicubic")
    assert (spec.input.scale, spec.input.mean, spec.input.std) == (1.0, (1.0, 2.0, 3.0), (4.0, 4.0, 4.0))
    assert {finding.source for finding in spec.findings} == {MODEL_TOML, ONNX_SHAPES}
    assert {finding.fact for finding in spec.findings if finding.source == ONNX_SHAPES} == {
        "datatype", "batch", "size_is"}


def test_findings_can_be_told_as_json(tmp_path: Path) -> None:
    toml = "[constants]\nweights = [1.0, 2.0]\nmask = 1"
    spec = found(tmp_path, LOGITS, {"image": (1, 3, 8, 8), "weights": (2,), "mask": (1, 64, 64)}, toml)
    told = json.loads(json.dumps([finding.to_dict() for finding in spec.findings]))
    assert {"fact": "size", "value": [8, 8], "source": ONNX_SHAPES} in told
    assert {"fact": "constants.weights", "value": [1.0, 2.0], "source": MODEL_TOML} in told
    assert {"fact": "constants.mask", "value": 1.0, "source": MODEL_TOML} in told


# The input


@pytest.mark.parametrize(("shape", "layout", "color", "size"), [
    ((1, 3, 32, 48), "NCHW", "RGB", (48, 32)), ((None, 32, 48, 3), "NHWC", "RGB", (48, 32)),
    (("n", 1, 28, 28), "NCHW", "L", (28, 28)), (("n", 28, 28, 1), "NHWC", "L", (28, 28)),
    ((-1, 3, 32, 48), "NCHW", "RGB", (48, 32)), (("n", "channels", 32, 48), "NCHW", "RGB", (48, 32)),
])
def test_layout_colour_and_size_follow_the_input_shape(tmp_path: Path, shape: Shape, layout: str, color: str,
                                                       size: tuple[int, int]) -> None:
    image = found(tmp_path, LOGITS, {"image": shape}).input
    assert (image.layout, image.color, image.size) == (layout, color, size)


@pytest.mark.parametrize(("datatype", "scale", "mean"), [
    ("FP32", 1 / 255, 0.0), ("FP16", 1 / 255, 0.0), ("UINT8", 1.0, 0.0), ("INT8", 1.0, 128.0)])
def test_pixels_fit_the_type_of_the_input(tmp_path: Path, datatype: str, scale: float, mean: float) -> None:
    image = found(tmp_path, LOGITS, types={"image": datatype}).input
    assert (image.datatype, image.scale, image.mean, image.std) == (datatype, scale, (mean,) * 3, (1.0,) * 3)


def test_a_fixed_batch_is_recorded(tmp_path: Path) -> None:
    spec = found(tmp_path, {"logits": (4, 2)}, {"image": (4, 3, 8, 8)})
    assert (spec.input.batch, value_of(spec, "batch")) == (4, 4)


def test_a_dynamic_size_comes_from_model_toml(tmp_path: Path) -> None:
    spec = found(tmp_path, LOGITS, ANY_SIZE, "[input]\nsize = 64\nresize = 'crop'\nshortest_edge = 72")
    assert (spec.input.size, spec.input.resize, spec.input.shortest_edge) == ((64, 64), "crop", 72)
    assert (value_of(spec, "size_is"), source_of(spec, "size")) == ("dynamic", MODEL_TOML)


def test_an_open_side_takes_the_written_size_and_a_fixed_one_stays(tmp_path: Path) -> None:
    assert found(tmp_path, LOGITS, {"image": (1, 3, 32, "w")}, "[input]\nsize = { width = 90, height = 32 }"
                 ).input.size == (90, 32)


def test_a_person_may_let_images_keep_their_size(tmp_path: Path) -> None:
    toml = "[input]\nresize = 'fit'\nshortest_edge = 300\nlongest_edge = 400\nmultiple_of = 32"
    image = found(tmp_path, LOGITS, ANY_SIZE, toml).input
    assert (image.size, image.shortest_edge, image.longest_edge, image.multiple_of) == (None, 300, 400, 32)


def test_one_of_several_inputs_is_chosen_by_name(tmp_path: Path) -> None:
    inputs: dict[str, Shape] = {"left": (1, 3, 8, 8), "right": (1, 3, 8, 8)}
    known = found_with_constants(tmp_path, LOGITS, inputs, "[input]\nname = 'right'\n[constants]\nleft = 0.5")
    assert (known.spec.input.name, source_of(known.spec, "input")) == ("right", MODEL_TOML)
    assert known.constants["left"].shape == (1, 3, 8, 8)


def test_of_an_image_and_a_mask_beside_it_the_image_is_fed(tmp_path: Path) -> None:
    inputs: dict[str, Shape] = {"mask": (1, 1, 8, 8), "photo": (1, 3, 8, 8)}
    assert found(tmp_path, LOGITS, inputs, "[constants]\nmask = 1").input.name == "photo"


@pytest.mark.parametrize(("shape", "datatype", "written", "expected"), [
    ((), "FP32", "0.5", np.float32(0.5)), ((1,), "FP32", "0.5", np.array([0.5], np.float32)),
    (("n", 2), "INT64", "3", np.array([[3, 3]])), ((1, 2), "INT64", "[[640, 480]]", np.array([[640, 480]])),
    (("n", 2), "INT32", "[[1, 2], [3, 4]]", np.array([[1, 2], [3, 4]], np.int32)),
    ((), "BOOL", "true", np.True_), ((2,), "UINT8", "255", np.array([255, 255], np.uint8)),
])
def test_further_inputs_get_constants_of_their_shape_and_type(tmp_path: Path, shape: Shape, datatype: str,
                                                              written: str, expected: Any) -> None:
    constant = found_with_constants(tmp_path, LOGITS, {"image": (1, 3, 8, 8), "more": shape},
                                    f"[constants]\nmore = {written}", types={"more": datatype}).constants["more"]
    np.testing.assert_array_equal(constant, expected, strict=True)


def test_the_size_for_the_boxes_of_rt_detr_is_the_inputs(tmp_path: Path) -> None:
    known = found_with_constants(tmp_path, {"labels": ("N", 300), "boxes": ("N", 300, 4), "scores": ("N", 300)},
                                 {"images": ("N", 3, 480, 640), "orig_target_sizes": ("N", 2)}, 'labels = ["a"]',
                                 types={"orig_target_sizes": "INT64", "labels": "INT64"})
    np.testing.assert_array_equal(known.constants["orig_target_sizes"], np.array([[640, 480]]), strict=True)
    assert (known.spec.task, known.spec.output.background) == ("object-detection", "none")
    assert dict(known.spec.output.names) == {"boxes": "boxes", "scores": "scores", "classes": "labels"}


@pytest.mark.parametrize(("mask", "image", "shape"), [
    ((1, 64, 64), ("b", "c", "h", "w"), (1, 64, 64)), (("b", "h", "w"), (1, 3, 20, 30), (1, 20, 30)),
    (("b", "h", "w"), ("b", "channels", "h", "w"), ()),
])
def test_a_pixel_mask_is_ones_of_the_size_that_is_known(tmp_path: Path, mask: Shape, image: Shape,
                                                        shape: tuple[int, ...]) -> None:
    toml = 'labels = ["a", "b"]' + ('\n[input]\nresize = "fit"' if "h" in image else "")
    known = found_with_constants(tmp_path, {"logits": ("b", 100, 3), "pred_boxes": ("b", 100, 4)},
                                 {"pixel_values": image, "pixel_mask": mask}, toml, types={"pixel_mask": "INT64"})
    np.testing.assert_array_equal(known.constants["pixel_mask"], np.ones(shape, np.int64), strict=True)


@pytest.mark.parametrize(("inputs", "types", "toml", "told"), [
    ({"tokens": (1, 77)}, {}, "", "no input can take an image; the model's inputs: tokens [1, 77]: export the model"),
    ({}, {}, "", "the model's inputs: none"),
    ({"clip": (1, 3, 16, 8, 8)}, {}, "", "no input can take an image"),
    ({"clip": (1, 3, 16, 8, 8)}, {}, "[input]\nname = 'clip'", "export the model with one input of four dimensions"),
    ({"pixels": (1, 3072)}, {}, "", "export the model with one input of four dimensions"),
    ({"left": (1, 3, 8, 8), "right": (1, 3, 8, 8)}, {}, "",
     'inputs left [1, 3, 8, 8] and right [1, 3, 8, 8] could both take the image: add name = "left" below [input] and '
     "right = 0 below [constants] in model.toml"),
    ({"image": (1, 3, 8, 8)}, {}, "[input]\nname = 'other'", 'no input "other"; it has image [1, 3, 8, 8]'),
    ({"image": (1, 3, 8, 8), "ids": (1, 16)}, {"ids": "INT64"}, "",
     "input ids [1, 16] INT64 needs a value: add ids = 0 (its value) below [constants] in model.toml"),
    ({"image": (1, 3, 8, 8), "text": (1,)}, {"text": "string"}, "", "the type of input text is string"),
    ({"image": (1, 3, 8, 8), "ids": (1, 2)}, {"ids": "INT64"}, "[constants]\nids = [1, 2, 3]",
     "constants.ids: [1, 2, 3] does not fit ids [1, 2] INT64"),
    ({"image": (1, 3, 8, 8), "ids": (1, 2)}, {"ids": "INT64"}, "[constants]\nids = 0.5", "0.5 does not fit"),
    ({"image": (1, 3, 8, 8), "ids": (1, 2)}, {"ids": "UINT8"}, "[constants]\nids = 256", "256 does not fit"),
    ({"image": (1, 3, 8, 8), "ids": (1, 2)}, {}, "[constants]\nids = 'x'", "x does not fit"),
    ({"image": (1, 3, 8, 8), "ids": (1, 2)}, {}, "[constants]\nids = [[1], [2, 3]]", "does not fit"),
    ({"image": (1, 3, 8, 8)}, {}, "[constants]\nids = 1", "no further input of this name; it has none"),
    ({"image": (1, 3, 8, 8)}, {"image": "INT64"}, "",
     "the type of input image is INT64; FP32, FP16, UINT8 and INT8 are fed: export the model with one of these"),
    ({"image": (1, 4, 8, 8)}, {}, "", "no input has 1 or 3 channels"),
    ({"image": (1, 4, 8, 8)}, {}, "[input]\nname = 'image'\nlayout = 'NCHW'", "has 4 channels in the layout NCHW"),
    ({"image": (1, None, 8, 8)}, {}, "", 'add layout = "NCHW" (or "NHWC") below [input] in model.toml'),
    ({"image": (1, 3, "h", "w")}, {}, "", "size cannot be found out: add size = 224"),
    ({"image": (1, 3, "h", "w")}, {}, "[input]\nresize = 'letterbox'", "size cannot be found out: add size = 224"),
    ({"image": (1, 3, 8, 9000)}, {}, "", "1 to 8192 a side are served"),
    ({"image": (1, 3, 8, 8)}, {}, "[input]\nsize = 16", "16 x 16 is not what the model takes, 8 x 8 pixels"),
    ({"image": (1, 3, 8, "w")}, {}, "[input]\nsize = 16", "16 x 16 is not what the model takes, any x 8 pixels"),
    ({"image": (1, 3, 8, 8)}, {}, "[input]\nresize = 'fit'", '"fit" gives images of many sizes'),
    ({"image": (1, 3, "h", "w")}, {}, "[input]\nresize = 'fit'\nsize = 8", '"fit" gives images of many sizes'),
    ({"image": (1, 3, 8, 8)}, {}, "[input]\ncolor = 'L'", '"L" has 1 channels, the model takes 3: write "RGB"'),
    ({"image": (1, 3, 8, 8)}, {}, "[input]\nmean = [1, 2]", "input.mean: 2 numbers for 3 channels"),
    ({"image": (1, 3, 8, 8)}, {}, "[input]\nstd = [1, 0, 1]", "input.std: expected numbers, none of them 0"),
    ({"image": (1, 3, 8, 8)}, {}, "[input]\nresize = 'letterbox'\nfill = 300", "input.fill: expected pixel values"),
    ({"image": (1, 3, 8, 8)}, {}, "[input]\nscale = nan", "input.scale: expected numbers"),
])
def test_an_input_that_cannot_be_fed_is_told_with_advice(tmp_path: Path, inputs: dict[str, Shape],
                                                         types: dict[str, str], toml: str, told: str) -> None:
    with pytest.raises(ModelNotUsable) as raised:
        found(tmp_path, LOGITS, inputs, toml, types=types)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


# The task


@pytest.mark.parametrize(("outputs", "types", "task"), [
    ({"logits": (1, 1000)}, {}, "image-classification"), ({"out": ("b", 10, 1, 1)}, {}, "image-classification"),
    ({"embedding": (1, 512)}, {}, "image-feature-extraction"),
    ({"last_hidden_state": ("b", "s", 768), "pooler_output": ("b", 768)}, {}, "image-feature-extraction"),
    ({"out": (1, 3, 64, 96)}, {}, "image-to-image"), ({"out": (1, 1, 32, 48)}, {}, "image-to-image"),
    ({"out": (1, 21, 32, 48)}, {}, "image-segmentation"), ({"out": (1, 150, 128, 128)}, {}, "image-segmentation"),
    ({"out": (1, 32, 48, 21)}, {}, "image-segmentation"),
    ({"out": (1, 32, 48)}, {"out": "INT64"}, "image-segmentation"),
    ({"out": (1, 1, 32, 48)}, {"out": "INT64"}, "image-segmentation"),
    ({"depth": (1, 32, 48)}, {}, "tensor"), ({"out": (1, 1)}, {}, "tensor"),
    ({"output0": (1, 84, 8400)}, {}, "tensor"), ({"a": (1, 2), "b": (1, 2)}, {}, "tensor"), ({}, {}, "tensor"),
    ({"output": ("n", 7)}, {}, "object-detection"),
])
def test_the_task_follows_the_outputs(tmp_path: Path, outputs: dict[str, Shape], types: dict[str, str],
                                      task: str) -> None:
    if task == "image-segmentation" and types:
        (tmp_path / LABELS_TXT).write_text("sky\nsea\n")
    if outputs == {"output": ("n", 7)}:
        (tmp_path / LABELS_TXT).write_text("cat\n")
    assert found(tmp_path, outputs, types=types).task == task


def test_a_task_that_cannot_be_told_says_what_to_add(tmp_path: Path) -> None:
    spec = found(tmp_path, {"output0": (1, 84, 8400)})
    assert (spec.task, source_of(spec, "task")) == ("tensor", "the outputs fit no other task: set task in model.toml")


def test_a_channels_last_model_has_its_classes_last(tmp_path: Path) -> None:
    spec = found(tmp_path, {"out": (1, 32, 48, 21)}, {"image": (1, 32, 48, 3)})
    assert (spec.task, len(spec.labels)) == ("image-segmentation", 21)


def test_only_the_facts_of_the_task_are_recorded(tmp_path: Path) -> None:
    facts = {finding.fact for finding in found(tmp_path, LOGITS).findings}
    assert {"task", "labels", "activation"} <= facts
    assert not facts & {"iou", "nms", "boxes", "range", "normalize", "multiple_of", "anchor", "shortest_edge"}


# Classification, segmentation, features, images


@pytest.mark.parametrize(("outputs", "activation"), [
    ({"logits": (1, 3)}, "softmax"), ({"softmax_1": (1, 3)}, "none"), ({"probabilities": (1, 3)}, "none")])
def test_the_name_of_the_output_tells_whether_a_softmax_is_left_to_do(tmp_path: Path, outputs: dict[str, Shape],
                                                                      activation: str) -> None:
    assert found(tmp_path, outputs).output.activation == activation


def test_a_single_score_gets_a_sigmoid(tmp_path: Path) -> None:
    spec = found(tmp_path, {"out": (1, 1)}, toml='task = "image-classification"\nlabels = ["leaf"]')
    assert (spec.output.activation, spec.labels) == ("sigmoid", ("leaf",))


def test_labels_come_from_model_toml_then_labels_txt(tmp_path: Path) -> None:
    (tmp_path / LABELS_TXT).write_bytes(b"\xef\xbb\xbffine\r\nill\r\n\r\n")
    from_file, from_toml = found(tmp_path, LOGITS), found(tmp_path, LOGITS, toml='labels = ["a", "b"]')
    assert (from_file.labels, source_of(from_file, "labels")) == (("fine", "ill"), LABELS_TXT)
    assert (from_toml.labels, source_of(from_toml, "labels")) == (("a", "b"), MODEL_TOML)


def test_a_class_map_needs_labels(tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsable, match=r"labels cannot be found out: write one label a line into labels.txt"):
        found(tmp_path, {"out": (1, 32, 48)}, types={"out": "INT64"})


def test_a_background_that_is_named_so_is_known_in_a_segmentation(tmp_path: Path) -> None:
    (tmp_path / LABELS_TXT).write_text("background\ncat\ndog\n")
    spec = found(tmp_path, {"out": (1, 3, 32, 48)})
    assert (spec.task, spec.output.background, len(spec.labels)) == ("image-segmentation", "first", 3)


def test_one_channel_of_a_segmentation_is_the_one_label_that_is_no_background(tmp_path: Path) -> None:
    spec = found(tmp_path, {"out": (1, 1, 32, 48)}, toml='task = "image-segmentation"\nlabels = ["background", "cat"]')
    assert (spec.labels, spec.output.activation) == (("cat",), "sigmoid")


def test_features_come_from_the_pooled_output(tmp_path: Path) -> None:
    spec = found(tmp_path, {"last_hidden_state": ("b", 197, 768), "pooler_output": ("b", 768)})
    assert (dict(spec.output.names), spec.output.normalize) == ({"embedding": "pooler_output"}, False)


def test_an_image_model_of_any_size_keeps_the_images_size(tmp_path: Path) -> None:
    spec = found(tmp_path, {"out": ("n", 3, "oh", "ow")}, ANY_SIZE)
    assert (spec.task, spec.input.size, spec.input.resize) == ("image-to-image", None, "fit")
    assert value_of(spec, "size") == "the image's own"
    assert value_of(spec, "tiling") == {"tile": [512, 512], "overlap": 102, "batch": 1}


def test_an_image_model_of_one_size_is_tiled(tmp_path: Path) -> None:
    spec = found(tmp_path, {"out": (1, 3, 128, 128)}, {"image": (1, 3, 64, 64)})
    assert spec.tiling is not None
    assert (spec.tiling.tile, spec.tiling.overlap, spec.tiling.batch) == ((64, 64), 12, 1)
    assert source_of(spec, "tiling") == DEFAULT


def test_one_channel_in_and_out_is_the_luma(tmp_path: Path) -> None:
    spec = found(tmp_path, {"out": ("b", 1, 672, 672)}, {"image": ("b", 1, 224, 224)})
    assert (spec.task, spec.input.color, dict(spec.output.names)) == ("image-to-image", "Y", {"image": "out"})


@pytest.mark.parametrize(("toml", "types", "expected"), [
    ("", {}, (0.0, 1.0)), ("[input]\nmean = 0.5\nstd = 0.5", {}, (-1.0, 1.0)), ("[input]\nscale = 1", {}, (0.0, 255.0)),
    ("[input]\nmean = [0.1, 0.2, 0.3]", {}, (0.0, 1.0)), ("[output]\nrange = [-3, 3]", {}, (-3.0, 3.0)),
    ("", {"out": "UINT8"}, (0.0, 255.0)),
])
def test_an_image_comes_out_as_it_goes_in(tmp_path: Path, toml: str, types: dict[str, str],
                                          expected: tuple[float, float]) -> None:
    black, white = found(tmp_path, {"out": (1, 3, 64, 96)}, toml=toml, types=types).output.range
    assert math.isclose(black, expected[0], abs_tol=1e-6)
    assert math.isclose(white, expected[1], abs_tol=1e-6)


@pytest.mark.parametrize(("outputs", "toml", "told"), [
    ({"logits": (1, 2)}, "labels = ['a', 'b', 'c']",
     "3 labels for 2 classes: give exactly one label a class in model.toml or labels.txt"),
    ({"logits": (1, 2)}, "labels = ['only one']", "1 label for 2 classes"),
    ({"out": (1, 5, 32, 48)}, "task = 'image-segmentation'\nlabels = ['a', 'b']", "2 labels for 5 classes"),
    ({"out": (1, 6, 32)}, "task = 'object-detection'\nlabels = ['a']\n[output]\ncolumns = 'box scores'",
     "1 label for 2 classes"),
    ({"logits": (1, "c")}, "task = 'image-classification'", "labels cannot be found out"),
    ({"a": (1, 6, 3)}, "task = 'object-detection'",
     'columns and labels cannot be found out: add columns = "box scores"'),
    ({"a": (1, 9, 4), "b": (1, 9, 2)}, "task = 'object-detection'",
     'boxes and units cannot be found out: add boxes = "xyxy"'),
    ({"boxes": (1, 9, 4), "scores": (1, 9, 2)}, "[output]\nboxes = 'xyxy'", 'add units = "pixels"'),
    ({"logits": (1, 9, 3), "pred_boxes": (1, 9, 4)}, "", 'add activation = "softmax" and background = "last"'),
    ({"logits": (1, 2)}, "task = 'image-segmentation'\n[output.names]\nmasks = 'mask'", 'has no output "mask"; it has'),
    ({"out": (1, 3, 32, 48)}, "[output]\nrange = [1, 1]", "output.range: expected two different numbers"),
    ({"a": (1, 7, 9)}, "[tiling]", "the results of tensor cannot be put together from tiles"),
    ({"out": (1, 3, 32, 48)}, "[tiling]\nbatch = 2", "the model takes exactly 1 images at a time"),
    ({"out": (1, 3, 32, 48)}, "[tiling]\noverlap = 32", "are a whole tile"),
])
def test_outputs_that_cannot_be_read_are_told_with_advice(tmp_path: Path, outputs: dict[str, Shape], toml: str,
                                                          told: str) -> None:
    with pytest.raises(ModelNotUsable) as raised:
        found(tmp_path, outputs, toml=toml)
    assert told in str(raised.value)


@pytest.mark.parametrize(("toml", "told"), [
    ("task = 'image-segmentation'\n[input]\nresize = 'fit'\n[tiling]", "add tile = 512 below [tiling]"),
    ("[tiling]\ntile = 100\n[input]\nmultiple_of = 8", "multiples of 8")])
def test_tiles_of_a_model_of_any_size_have_to_be_told(tmp_path: Path, toml: str, told: str) -> None:
    with pytest.raises(ModelNotUsable) as raised:
        found(tmp_path, {"out": ("n", 3, "oh", "ow")}, ANY_SIZE, toml)
    assert told in str(raised.value)


@pytest.mark.parametrize(("name", "content", "told"), [
    (LABELS_TXT, "gesund\nBlattfäule\n".encode("latin-1"), "labels.txt is not UTF-8: save it as UTF-8"),
    (LABELS_TXT, b"\n\n", "labels.txt is empty"), (LABELS_TXT, b"x" * (10 * 1024 * 1024 + 1), "more than 10 MB"),
    ("config.json", b"{", "config.json is not JSON"), ("config.json", b"[1]", "config.json holds no JSON object"),
    ("config.json", b"[" * 100_000, "config.json is not JSON"),
    ("config.json", b'{"model_type": "vit", "id2label": ["a"]}', "config.json, id2label: expected a table"),
    ("config.json", b'{"model_type": "vit", "id2label": {"a": "b"}}', "config.json, id2label"),
    ("config.json", b'{"architecture": "x", "pretrained_cfg": {"mean": "a"}}', "config.json, pretrained_cfg.mean"),
    ("preprocessor_config.json", b'{"size": "large"}', "preprocessor_config.json, size"),
    ("preprocessor_config.json", b'{"image_mean": [0.5, 0.5], "image_std": [0.5]}', "mean: 2 numbers for 3 channels"),
    ("preprocessor_config.json", b'{"do_rescale": "perhaps"}', "do_rescale: expected true or false"),
])
def test_a_damaged_file_is_told_by_its_name(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelNotUsable) as raised:
        found(tmp_path, LOGITS)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


# Detectors of many makes


def test_joined_columns_are_recognised_by_the_number_of_labels(tmp_path: Path) -> None:
    spec = found(tmp_path, YOLO, toml='labels = ["a", "b"]')
    assert (spec.task, spec.output.columns, spec.output.boxes) == ("object-detection", "box scores", "cxcywh")
    assert (spec.input.resize, spec.input.fill, spec.output.nms) == ("letterbox", (114.0,) * 3, "per-class")
    assert (spec.output.threshold, spec.output.iou, spec.output.activation) == (0.25, 0.7, "none")


@pytest.mark.parametrize(("shape", "columns", "boxes"), [
    ((1, 6, 30), "box scores", "cxcywh"), ((1, 30, 6), "box scores", "cxcywh"),
    ((1, 30, 7), "box objectness scores", "cxcywh"), ((1, 84, 7), "box objectness scores", "grid"),
])
def test_rows_with_and_without_objectness_are_told_apart(tmp_path: Path, shape: Shape, columns: str,
                                                         boxes: str) -> None:
    spec = found(tmp_path, {"output": shape}, {"image": (1, 3, 64, 64)}, 'labels = ["a", "b"]')
    assert (spec.output.columns, spec.output.boxes) == (columns, boxes)
    if boxes == "grid":  # YOLOX: 8x8 + 4x4 + 2x2 cells
        assert (spec.input.color, spec.input.scale, spec.input.anchor) == ("BGR", 1.0, "top-left")
        assert spec.output.strides == (8, 16, 32)


def test_a_detector_without_labels_has_them_numbered(tmp_path: Path) -> None:
    assert found(tmp_path, YOLO, toml='task = "object-detection"').labels == ("0", "1")


def test_seven_columns_are_the_rows_of_yolov7(tmp_path: Path) -> None:
    spec = found(tmp_path, {"output": ("rows", 7)}, toml='labels = ["a", "b"]')
    assert (spec.output.columns, spec.output.boxes, spec.output.nms) == ("batch box class score", "xyxy", "none")


def test_torchvision_detectors_count_classes_from_1(tmp_path: Path) -> None:
    spec = found(tmp_path, {"boxes": ("n", 4), "labels": ("n",), "scores": ("n",)},
                 toml='labels = ["__background__", "cat", "dog"]')
    assert (spec.labels, spec.output.background) == (("cat", "dog"), "first")
    assert (spec.output.boxes, spec.output.units, spec.output.nms) == ("xyxy", "pixels", "none")


def test_tensorflow_detectors_take_the_image_as_it_is(tmp_path: Path) -> None:
    outputs: dict[str, Shape] = {"detection_boxes": (1, 100, 4), "detection_scores": (1, 100),
                                 "detection_classes": (1, 100), "num_detections": (1,)}
    spec = found(tmp_path, outputs, {"input_tensor": (1, None, None, 3)}, 'labels = ["cat", "dog"]',
                 types={"input_tensor": "UINT8"})
    assert (spec.labels, spec.output.background, spec.output.units) == (("cat", "dog"), "first", "normalised")
    assert (spec.output.boxes, spec.input.size, spec.input.scale) == ("yxyx", None, 1.0)


def test_a_detector_of_custom_vision_gives_corners_as_shares(tmp_path: Path) -> None:
    outputs: dict[str, Shape] = {"detected_boxes": ("None", "None", 4), "detected_classes": ("None", "None"),
                                 "detected_scores": ("None", "None")}
    spec = found(tmp_path, outputs, {"image_tensor": ("None", 3, 320, 320)}, 'labels = ["cat", "dog"]',
                 types={"detected_classes": "INT64"}, metadata={"Image.BitmapPixelFormat": "Bgr8",
                                                                "Image.NominalPixelRange": "NominalRange_0_255"})
    assert (spec.task, spec.output.boxes, spec.output.units) == ("object-detection", "xyxy", "normalised")
    assert (spec.output.background, spec.output.nms, spec.input.color, spec.input.scale) == ("none", "none", "BGR", 1.0)


RF_DETR: dict[str, Shape] = {"dets": (1, 300, 4), "labels": (1, 300, 3)}


@pytest.mark.parametrize(("labels", "background"), [(["cat", "dog"], "last"), (["cat", "dog", "cow"], "none")])
def test_rf_detr_may_have_a_class_that_means_nothing(tmp_path: Path, labels: list[str], background: str) -> None:
    spec = found(tmp_path, RF_DETR, toml=f"labels = {labels}")
    assert (spec.task, spec.output.activation, spec.output.background) == ("object-detection", "sigmoid", background)
    assert (spec.labels, spec.input.mean) == (tuple(labels), (0.485, 0.456, 0.406))


def test_rf_detr_with_a_mask_of_each_query_is_a_segmenter(tmp_path: Path) -> None:
    spec = found(tmp_path, RF_DETR | {"masks": (1, 300, 8, 12)})
    assert (spec.task, spec.labels) == ("image-segmentation", ("0", "1", "2"))
    assert dict(spec.output.names) == {"boxes": "dets", "scores": "labels", "masks": "masks"}


def test_mmdetection_has_the_score_beside_the_box(tmp_path: Path) -> None:
    outputs: dict[str, Shape] = {"dets": (1, "n", 5), "labels": (1, "n")}
    spec = found(tmp_path, outputs, toml='labels = ["cat"]', types={"labels": "INT64"})
    assert (spec.task, dict(spec.output.names)) == ("object-detection", {"boxes": "dets", "classes": "labels"})


@pytest.mark.parametrize(("labels", "activation", "background"), [(2, "softmax", "last"), (3, "sigmoid", "none")])
def test_the_number_of_labels_tells_detr_from_rt_detr(tmp_path: Path, labels: int, activation: str,
                                                      background: str) -> None:
    (tmp_path / LABELS_TXT).write_text("\n".join("abc"[:labels]))
    output = found(tmp_path, {"logits": (1, 9, 3), "pred_boxes": (1, 9, 4)}).output
    assert (output.activation, output.background, output.boxes) == (activation, background, "cxcywh")
    assert (output.units, output.nms, output.threshold) == ("normalised", "none", 0.5)


@pytest.mark.parametrize("labels", [["cat", "dog"], ["background", "cat", "dog"]])
def test_the_background_may_be_among_the_labels_or_not(tmp_path: Path, labels: list[str]) -> None:
    toml = f"labels = {labels}\n[output]\nboxes = 'xyxy'\nunits = 'normalised'\nbackground = 'first'"
    spec = found(tmp_path, {"boxes": (1, 9, 4), "scores": (1, 9, 3)}, toml=toml)
    assert (spec.labels, spec.output.nms, spec.output.iou) == (("cat", "dog"), "per-class", 0.7)


def test_names_of_outputs_can_be_given(tmp_path: Path) -> None:
    toml = """task = "object-detection"
        [output]
        boxes = "xyxy"
        units = "pixels"
        [output.names]
        boxes = "a"
        scores = "b" """
    spec = found(tmp_path, {"a": (1, 9, 4), "b": (1, 9, 2), "c": (1, 9, 2)}, toml=toml)
    assert (dict(spec.output.names), spec.labels) == ({"boxes": "a", "scores": "b"}, ("0", "1"))
