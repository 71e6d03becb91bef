"""Models as Keras' own exporter and tf2onnx write them: inputs and scores that differ from those of other exporters."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from inference.errors import ModelNotUsable
from inference.findings.sources import GRAPH
from tests.answering import IR_VERSION, OPSET, saved
from tests.unit.findings_helpers import source_of
from tests.unit.images import encode, plain
from tests.unit.predicting import loaded, result, scores

HEAD = [helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("GlobalAveragePool", ["planes"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"])]
SOFTMAX = [*HEAD, helper.make_node("Softmax", ["flat"], ["Identity:0"])]
SUB = "normalization_1/Sub/y:0"


def put(models: Path, toml: str = "") -> Path:
    (models / "m").mkdir(parents=True)
    (models / "m" / "model.toml").write_text(toml)
    return models / "m" / "model.onnx"


def constant(name: str, *values: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.float32), name)


def test_a_binary_classifier_tells_how_likely_its_one_class_is(tmp_path: Path) -> None:
    """Dense(1, activation="sigmoid") without any file beside it."""
    nodes = [*HEAD, helper.make_node("MatMul", ["flat", "kernel"], ["logit"]),
             helper.make_node("Sigmoid", ["logit"], ["Identity:0"])]
    kernel = numpy_helper.from_array(np.array([[2], [0], [0]], np.float32), "kernel")
    saved(put(tmp_path), [helper.make_node("Identity", ["x"], ["pixels"]), *nodes], [kernel],
          {"x": ("unk__1", 8, 8, 3)}, {"Identity:0": ("unk__2", 1)}, producer="tf2onnx")
    told = result(loaded(tmp_path), encode(Image.new("RGB", (8, 8), "red"), "PNG"))
    assert told["task"] == "image-classification"
    assert told["predictions"] == [{"label": "0", "score": pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)}]


def test_one_number_that_no_sigmoid_made_is_no_class(tmp_path: Path) -> None:
    """A regression: nobody can tell what it measures."""
    kernel = numpy_helper.from_array(np.ones((3, 1), np.float32), "kernel")
    saved(put(tmp_path), [helper.make_node("Identity", ["x"], ["pixels"]), *HEAD,
                          helper.make_node("MatMul", ["flat", "kernel"], ["dense"])], [kernel],
          {"x": ("unk__1", 8, 8, 3)}, {"dense": ("unk__2", 1)}, producer="tf2onnx")
    assert loaded(tmp_path).spec.task == "tensor"


def with_lost_mean(models: Path, toml: str = "") -> None:
    """As Keras' Normalization layers are exported: the mean is an input, and its value is in no file."""
    nodes = [helper.make_node("Sub", ["keras_tensor", SUB], ["centered"]),
             helper.make_node("Mul", ["centered", "recip"], ["pixels"]), *HEAD,
             helper.make_node("MatMul", ["flat", "kernel"], ["logits"]),
             helper.make_node("Softmax", ["logits"], ["Identity:0"])]
    kernel = numpy_helper.from_array(np.ones((3, 7), np.float32), "kernel")
    saved(put(models, toml), nodes, [constant("recip", 0.015, 0.016, 0.014), kernel],
          {"keras_tensor": ("unk__1", 32, 32, 3), SUB: (1, 1, 1, 3), "normalization_1/Sqrt/x:0": (1, 1, 1, 3)},
          {"Identity:0": ("unk__2", 7)}, producer="tf2onnx")


def test_a_mean_that_the_exporter_lost_is_asked_for_with_a_line_that_can_be_written(tmp_path: Path) -> None:
    with_lost_mean(tmp_path / "asked")
    with pytest.raises(ModelNotUsable, match=f'add "{SUB}" = 0 ') as reason:
        loaded(tmp_path / "asked")
    assert "could both take the image" not in str(reason.value)
    assert "columns" not in str(reason.value)  # of the seven scores
    with_lost_mean(tmp_path / "told", f'[constants]\n"{SUB}" = [[[[120.0, 115.0, 101.0]]]]')
    assert loaded(tmp_path / "told").spec.input.name == "keras_tensor"


def test_a_model_that_resizes_by_itself_takes_each_image_as_it_is(tmp_path: Path) -> None:
    """A layer Resizing before the others; the sides are open."""
    nodes = [helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
             helper.make_node("Shape", ["first"], ["shape"]),
             helper.make_node("Slice", ["shape", "zero", "two"], ["start"]),
             helper.make_node("Concat", ["start", "sides"], ["target"], axis=0),
             helper.make_node("Resize", ["first", "", "", "target"], ["resized"], mode="linear"),
             helper.make_node("Mul", ["resized", "share"], ["shares"]),
             helper.make_node("Transpose", ["shares"], ["pixels"], perm=[0, 2, 3, 1]), *SOFTMAX]
    weights = [numpy_helper.from_array(np.array(values), name)
               for name, values in (("zero", [0]), ("two", [2]), ("sides", [16, 16]))]
    saved(put(tmp_path), nodes, [*weights, constant("share", 1 / 255)], {"x": ("n", "h", "w", 3)},
          {"Identity:0": ("m", 3)}, producer="tf2onnx")
    spec = loaded(tmp_path).spec
    assert (spec.input.size, spec.input.resize, spec.input.scale) == (None, "fit", 1.0)
    assert source_of(spec, "resize") == GRAPH
    assert len(result(loaded(tmp_path), encode(plain((40, 20)), "PNG"))["predictions"]) == 3


def of_whole_numbers(path: Path, activation: str) -> NDArray:
    """As TensorFlow Lite's models come out of tf2onnx: bytes in, bytes out. Gives back the logits for white."""
    kernel = np.array([[2, 0, -1]] * 3, np.float32)
    nodes = [helper.make_node("DequantizeLinear", ["x", "one", "zero"], ["pixels"]), *HEAD,
             helper.make_node("MatMul", ["flat", "kernel"], ["logits"]),
             helper.make_node(activation, ["logits"], ["fractions"]),
             helper.make_node("QuantizeLinear", ["fractions", "step", "middle"], ["out"])]
    weights = [numpy_helper.from_array(np.array(value, kind), name) for name, value, kind in (
        ("one", 1 / 255, np.float32), ("zero", 0, np.uint8), ("step", 1 / 64, np.float32), ("middle", 100, np.uint8))]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 8, 8, 3])],
                              [helper.make_tensor_value_info("out", TensorProto.UINT8, ["m", 3])],
                              [*weights, numpy_helper.from_array(kernel / 3, "kernel")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION), path)
    return np.array([2, 0, -1])


@pytest.mark.parametrize("activation", ["Softmax", "Identity"])
def test_scores_in_whole_numbers_are_what_they_stand_for(tmp_path: Path, activation: str) -> None:
    logits = of_whole_numbers(put(tmp_path), activation)
    told = scores(loaded(tmp_path), encode(Image.new("RGB", (8, 8), "white"), "PNG"))
    powers = np.exp(logits)
    np.testing.assert_allclose([told[label] for label in "012"], powers / powers.sum(), atol=1 / 128)
