"""Classifiers whose scores are a map from labels to numbers: skl2onnx's ZipMap, Custom Vision."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from inference.errors import ModelNotUsable
from inference.geometry import place
from inference.parameters import ClassificationParameters
from inference.session import Session
from inference.spec import MAPS, InputSpec, ModelSpec, OutputSpec, TensorInfo
from inference.tasks.classification import read
from tests.onnx_models import IR_VERSION, OPSET
from tests.unit.findings_helpers import found, source_of
from tests.unit.images import encode
from tests.unit.predicting import loaded, scores

COLORS = ("red", "blue", "green")  # the order of labels.txt; the graph's is that of its channels
CHANNELS = ("blue", "green", "red")
LOSS = {"classLabel": ("None", 1), "loss": ()}
TYPES = {"classLabel": "string", "loss": MAPS}
SPEC = ModelSpec("m", "1", "image-classification", COLORS, InputSpec("image", (8, 8)), OutputSpec({}))


def custom_vision(path: Path, **zip_map: Any) -> Path:
    """As Custom Vision exports a classifier: BGR as it is; the best label as a text, and the scores as a map."""
    kind = TensorProto.STRING if "classlabels_strings" in zip_map else TensorProto.INT64
    scores_by_label = helper.make_sequence_type_proto(
        helper.make_map_type_proto(kind, helper.make_tensor_type_proto(TensorProto.FLOAT, [])))
    nodes = [helper.make_node("ReduceMean", ["data"], ["mean"], axes=[2, 3], keepdims=0),
             helper.make_node("Mul", ["mean", "factor"], ["logits"]),
             helper.make_node("Softmax", ["logits"], ["chances"], axis=1),
             helper.make_node("ZipMap", ["chances"], ["loss"], domain="ai.onnx.ml", **zip_map),
             helper.make_node("ArgMax", ["chances"], ["best"], axis=1, keepdims=1),
             helper.make_node("LabelEncoder", ["best"], ["classLabel"], domain="ai.onnx.ml", keys_int64s=[0, 1, 2],
                              values_strings=list(CHANNELS))]
    outputs = [helper.make_tensor_value_info("classLabel", TensorProto.STRING, ["None", 1]),
               helper.make_value_info("loss", scores_by_label)]
    image = helper.make_tensor_value_info("data", TensorProto.FLOAT, ["None", 3, 16, 16])
    factor = numpy_helper.from_array(np.array(0.05, np.float32), "factor")
    graph = helper.make_graph(nodes, "model", [image], outputs, [factor])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 2)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("color", COLORS)
def test_a_model_of_custom_vision_is_served(tmp_path: Path, color: str) -> None:
    custom_vision(tmp_path / "colors" / "model.onnx", classlabels_strings=list(CHANNELS))
    (tmp_path / "colors" / "labels.txt").write_text("\n".join(COLORS))
    told = scores(loaded(tmp_path), encode(Image.new("RGB", (40, 30), color), "PNG"))
    assert next(iter(told)) == color
    assert sum(told.values()) == pytest.approx(1, abs=1e-5)


def test_several_images_give_a_map_each(tmp_path: Path) -> None:
    session = Session(custom_vision(tmp_path / "model.onnx", classlabels_strings=list(CHANNELS)))
    assert session.interface.outputs[1] == TensorInfo("loss", (), MAPS)
    outputs = session.run({"data": np.zeros((2, 3, 16, 16), np.float32)})
    assert outputs["loss"].shape == (2,)
    assert outputs["loss"][1] == pytest.approx(dict.fromkeys(CHANNELS, 1 / 3))


def test_a_map_may_have_the_labels_numbers_as_its_keys(tmp_path: Path) -> None:
    session = Session(custom_vision(tmp_path / "model.onnx", classlabels_int64s=[0, 1, 2]))
    outputs = session.run({"data": np.stack([np.full((1, 16, 16), value, np.float32) for value in (9, 0, 99)], 1)})
    parameters = ClassificationParameters()
    assert read(outputs, SPEC, place((8, 8), SPEC.input), parameters).scores.argmax() == 2


def test_labels_that_are_not_the_maps_are_told() -> None:
    outputs = {"loss": np.array([{"cat": 0.9, "dog": 0.1}], object)}
    with pytest.raises(ValueError, match="'loss' has scores for cat, dog and the labels are red, blue, green: write "
                                         r"the model's labels, one a line, into labels\.txt"):
        read(outputs, SPEC, place((8, 8), SPEC.input), ClassificationParameters())


def test_custom_visions_names_tell_how_pixels_go_in(tmp_path: Path) -> None:
    model = found(tmp_path, LOSS, types=TYPES, files={"labels.txt": "\n".join(COLORS)})
    assert (model.task, model.labels, model.output.activation) == ("image-classification", COLORS, "none")
    assert (model.input.color, model.input.scale, model.input.resample) == ("BGR", 1.0, "bicubic")


def test_metadata_beat_what_the_names_tell(tmp_path: Path) -> None:
    metadata = {"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_0_1"}
    model = found(tmp_path, LOSS, types=TYPES, metadata=metadata, files={"labels.txt": "\n".join(COLORS)})
    assert (model.input.color, model.input.scale) == ("RGB", 1 / 255)


def test_the_labels_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsable, match=r"labels.*one label a line"):
        found(tmp_path, LOSS, types=TYPES)


@pytest.mark.parametrize(("metadata", "color", "scale", "mean"), [
    ({"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}, "BGR", 1.0, 0.0),
    ({"image.bitmappixelformat": "RGBA8", "image.nominalpixelrange": "normalized_1_1"}, "RGB", 2 / 255, 1.0),
    ({"Image.BitmapPixelFormat": "Bgra8"}, "BGR", 1 / 255, 0.0),
    ({"Image.BitmapPixelFormat": "other"}, "RGB", 1 / 255, 0)])
def test_an_images_format_may_be_in_the_metadata(tmp_path: Path, metadata: dict[str, str], color: str, scale: float,
                                                 mean: float) -> None:
    model = found(tmp_path, {"logits": (1, 3)}, metadata=metadata, files={"labels.txt": "\n".join(COLORS)})
    assert (model.input.color, model.input.scale, model.input.mean) == (color, scale, (mean,) * 3)
    assert (source_of(model, "color") == "image metadata") == (color == "BGR" or "RGBA8" in metadata.values())


def test_what_is_neither_tensor_nor_map_is_named(tmp_path: Path) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    parts = helper.make_value_info("parts", helper.make_sequence_type_proto(
        helper.make_tensor_type_proto(TensorProto.FLOAT, None)))
    nodes = [helper.make_node("SplitToSequence", ["image"], ["parts"], axis=1)]
    graph = helper.make_graph(nodes, "model", [image], [parts])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION),
              tmp_path / "model.onnx")
    with pytest.raises(ModelNotUsable, match=r"'parts' is no tensor but of the type seq\(tensor\(float\)\): export"):
        Session(tmp_path / "model.onnx")
