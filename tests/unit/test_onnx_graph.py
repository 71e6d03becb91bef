"""The operators of an ONNX file, read from its bytes, are those that the package onnx reads."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from inference.onnx_graph import Graph, Node, read_graph
from tests.answering import answering, saved
from tests.onnx_models import sleeper

CONSTANT = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.full((), 0.5, np.float32), "c"))


def test_all_operators_are_read_as_onnx_reads_them(tmp_path: Path) -> None:
    path = sleeper(tmp_path / "model.onnx", 0.01)
    expected = [Node(node.op_type, tuple(node.input), tuple(node.output), node.name)
                for node in onnx.load(path).graph.node]
    assert list(read_graph(path).nodes) == expected


def test_few_numbers_are_read_and_many_are_not(tmp_path: Path) -> None:
    path = answering(tmp_path / "model.onnx", {"few": np.arange(3), "many": np.arange(300)})
    assert read_graph(path).constants == {"constant few": (0.0, 1.0, 2.0), "zero": (0.0,)}


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"version https://git-lfs", b"\x3a\x05ab"])
def test_what_is_no_onnx_file_tells_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert read_graph(tmp_path / "model.onnx") == Graph()


def graph(tmp_path: Path, *nodes: onnx.NodeProto, **inputs: tuple) -> Graph:
    return read_graph(saved(tmp_path / "model.onnx", nodes, [], inputs or {"x": (1, 3)}, {"y": (1, 3)}))


def test_what_made_an_output_is_found_behind_what_only_moves_it(tmp_path: Path) -> None:
    found = graph(tmp_path, helper.make_node("Sigmoid", ["x"], ["a"]), helper.make_node("Transpose", ["a"], ["b"]),
                  helper.make_node("Identity", ["b"], ["y"]))
    assert found.maker("y") == "Sigmoid"
    assert (found.maker("x"), Graph().maker("y")) == ("", "")


def test_the_first_operator_on_an_input_is_told_with_its_constant(tmp_path: Path) -> None:
    found = graph(tmp_path, CONSTANT, helper.make_node("Cast", ["x"], ["a"], to=1),
                  helper.make_node("Mul", ["a", "c"], ["y"]))
    assert found.first("x") == ("Mul", (0.5,))


def test_channels_in_another_order_come_before_the_first_operator(tmp_path: Path) -> None:
    """Keras' preprocess_input for ResNet50 as a part of the model: BGR, minus means."""
    parts = [helper.make_node("Slice", ["x", "s", "e"], [name]) for name in ("r", "g", "b")]
    found = graph(tmp_path, CONSTANT, *parts, helper.make_node("Concat", ["b", "g", "r"], ["bgr"], axis=1),
                  helper.make_node("Add", ["bgr", "c"], ["y"]))
    assert found.first("x") == ("Add", (0.5,))


def test_another_first_operator_tells_nothing(tmp_path: Path) -> None:
    assert graph(tmp_path, helper.make_node("Relu", ["x"], ["y"])).first("x") is None
    assert graph(tmp_path, helper.make_node("Mul", ["x", "x"], ["y"])).first("x") is None


def test_an_input_that_only_a_loops_body_takes_is_read(tmp_path: Path) -> None:
    model = read_graph(sleeper(tmp_path / "model.onnx", 0.01))
    assert model.reads("rotation") and model.reads("image")
    assert not model.reads("nobody") and Graph().reads("nobody")


QDQ = ("QuantizeLinear", "DequantizeLinear")


def quantized(tmp_path: Path, nodes: list[onnx.NodeProto], raw: bool) -> Graph:
    """1/255 and 128 as whole numbers of a step, as onnxruntime.quantization writes them: raw, or each by itself."""
    small = helper.make_tensor("q", onnx.TensorProto.INT8, [2], np.array([127, -127], np.int8).tobytes() if raw
                               else [127, -127], raw=raw)
    steps = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("s", 0.01), ("xs", 1))]
    zero = helper.make_tensor("z", onnx.TensorProto.INT8, [], [-1])
    return read_graph(saved(tmp_path / "model.onnx", nodes, [small, zero, *steps], {"x": (1, 2)}, {"y": (1, 2)}))


@pytest.mark.parametrize("raw", [True, False])
def test_a_first_operator_is_seen_behind_quantised_numbers(tmp_path: Path, raw: bool) -> None:
    """QuantFormat.QDQ: numbers go through whole ones before and after each operator."""
    found = quantized(tmp_path, [
        helper.make_node(QDQ[0], ["x", "xs", "z"], ["xq"]), helper.make_node(QDQ[1], ["xq", "xs", "z"], ["xd"]),
        helper.make_node(QDQ[1], ["q", "s", "z"], ["c"]), helper.make_node("Mul", ["xd", "c"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"]), helper.make_node(QDQ[0], ["b", "xs", "z"], ["bq"]),
        helper.make_node(QDQ[1], ["bq", "xs", "z"], ["y"])], raw)
    assert found.first("x") == ("Mul", pytest.approx((1.28, -1.26)))
    assert found.maker("y") == "Softmax"


def test_operators_of_whole_numbers_are_those_of_fractions(tmp_path: Path) -> None:
    """QuantFormat.QOperator"""
    found = quantized(tmp_path, [
        helper.make_node(QDQ[0], ["x", "xs", "z"], ["xq"]),
        helper.make_node("QLinearMul", ["xq", "xs", "z", "q", "s", "z", "xs", "z"], ["a"], domain="com.microsoft"),
        helper.make_node("QLinearSigmoid", ["a", "xs", "z", "xs", "z"], ["b"], domain="com.microsoft"),
        helper.make_node(QDQ[1], ["b", "xs", "z"], ["y"])], True)
    assert found.first("x") == ("Mul", pytest.approx((1.28, -1.26)))
    assert found.maker("y") == "Sigmoid"


@pytest.mark.parametrize(("name", "exporter"), [("/features/features.0/Conv_quant", "pytorch"),
                                                ("functional_1/conv2d_1/convolution__12", "tf2onnx"), ("Conv_3", "")])
def test_names_of_operators_tell_the_exporter(name: str, exporter: str) -> None:
    assert Graph((Node("Conv", (), (), name),)).exporter == exporter
