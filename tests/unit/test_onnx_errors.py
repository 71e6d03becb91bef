"""What onnxruntime refuses is told plainly; the files are real, so that its wording is today's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.errors import InferenceFailed, ModelNotUsable
from inference.onnx_errors import failed, plain
from inference.session import LFS_POINTER, Session
from tests.onnx_models import classifier


def put(path: Path, operator: str = "Relu", opset: int = 17, ir_version: int = 9, domain: str = "",
        kind: int = TensorProto.FLOAT) -> None:
    values = [helper.make_tensor_value_info(name, kind, [1, 3, 8, 8]) for name in ("x", "y")]
    node = helper.make_node(operator, ["x", "w"] if operator == "Conv" else ["x"], ["y"], domain=domain)
    weights = [numpy_helper.from_array(np.zeros((3, 3, 1, 1)), "w")] if operator == "Conv" else []
    opsets = [helper.make_opsetid(name, number) for name, number in {"": opset, domain: opset}.items()]
    graph = helper.make_graph([node], "odd", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), path)


def put_with_weights_beside(path: Path) -> Path:
    onnx.save(onnx.load(classifier(path)), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path.parent / "weights.bin"


@pytest.mark.parametrize(("make", "told"), [
    (lambda path: path.write_bytes(classifier(path).read_bytes()[:100]), "truncated, or no ONNX file at all: copy"),
    (lambda path: path.write_text("<html>not found</html>"), "truncated, or no ONNX file at all"),
    (lambda path: put(path, "Mystery", domain="com.example"), "the custom operator com.example:Mystery"),
    (lambda path: put(path, "NotAnOperator"), "the operator NotAnOperator, which opset 17 does not have"),
    (lambda path: put(path, "Conv", kind=TensorProto.DOUBLE), "cannot compute its operator Conv"),
    (lambda path: put(path, ir_version=90), "its IR version 90 is newer"),
    (lambda path: put(path, opset=90), "its opset 90 is newer"),
    (lambda path: put_with_weights_beside(path).unlink(), "its weights weights.bin are missing"),
    (lambda path: put_with_weights_beside(path).write_bytes(b"x"), "the file with its weights is truncated"),
], ids=["truncated", "html", "custom operator", "no operator", "no kernel", "IR", "opset", "no weights", "few weights"])
def test_a_file_that_cannot_be_loaded_is_told_in_one_plain_sentence(tmp_path: Path, make: Callable[[Path], object],
                                                                    told: str) -> None:
    make(tmp_path / "model.onnx")
    with pytest.raises(ModelNotUsable) as raised:
        Session(tmp_path / "model.onnx")
    sentence = str(raised.value)
    assert sentence.startswith("model.onnx cannot be loaded: ")
    assert told in sentence
    assert not any(inside in sentence for inside in ("\n", "/", "[ONNXRuntimeError]"))


def test_weights_that_are_a_pointer_are_no_weights(tmp_path: Path) -> None:
    put_with_weights_beside(tmp_path / "model.onnx").write_bytes(LFS_POINTER + b"/spec/v1\n" + b"oid " * 999)
    with pytest.raises(ModelNotUsable, match=r"weights.bin is a Git LFS pointer, not the model's weights: run"):
        Session(tmp_path / "model.onnx")


def test_what_is_not_known_is_told_without_the_inside() -> None:
    text = ("[ONNXRuntimeError] : 1 : FAIL : Load model from /srv/m.onnx failed:/src/core/graph.cc:12 "
            "void f(const std::string&) Something\nodd happened.")
    assert plain(text, "m.onnx") == ("m.onnx cannot be loaded: onnxruntime says 'Something odd happened': "
                                     "export it again")


@pytest.mark.parametrize(("shape", "told"), [
    ((1, 3, 16, 8), "its input x takes a length of 8 on axis 2, and was fed 16"),
    ((3, 8, 8), "its input x takes 4 axes, and was fed 3"),
])
def test_what_an_input_does_not_take_is_told_plainly(tmp_path: Path, shape: tuple[int, ...], told: str) -> None:
    put(tmp_path / "model.onnx")
    with pytest.raises(InferenceFailed, match=told):
        Session(tmp_path / "model.onnx").run({"x": np.zeros(shape, np.float32)})


@pytest.mark.parametrize(("feeds", "told"), [
    ({"x": np.zeros((1, 3, 8, 8))}, "takes numbers of the type float, and was fed double"),
    ({"y": np.zeros((1, 3, 8, 8), np.float32)}, "input"), ({}, "nothing was fed to its input 'x'")])
def test_what_is_fed_wrongly_is_told_plainly(tmp_path: Path, feeds: dict, told: str) -> None:
    put(tmp_path / "model.onnx")
    with pytest.raises(InferenceFailed, match=told) as raised:
        Session(tmp_path / "model.onnx").run(feeds)
    assert not any(inside in str(raised.value) for inside in ("\n", "::", "[ONNX", ".cc"))


def test_an_operator_that_fails_is_told_without_the_inside(tmp_path: Path) -> None:
    shape = numpy_helper.from_array(np.array([4, 7]), "shape")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "m"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "shape"], ["y"], name="head/reshape")], "odd",
                              values[:1], values[1:], [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(InferenceFailed) as raised:
        Session(tmp_path / "m.onnx").run({"x": np.zeros((2, 2), np.float32)})
    sentence = str(raised.value)
    assert sentence.startswith("the model failed: its operator Reshape (head/reshape) cannot work on what it gets")
    assert "cannot be reshaped" in sentence
    assert not any(inside in sentence for inside in ("\n", "::", "onnxruntime", ".h:"))


def test_what_only_the_source_explains_is_left_out() -> None:
    assert failed("[ONNXRuntimeError] : 1 : FAIL : /src/a.cc:5 ns::f(int) a::b(c) odd") == (
        "the model failed: onnxruntime does not tell why")
