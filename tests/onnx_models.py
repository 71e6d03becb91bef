"""Small ONNX models, made when a test needs them."""

import time
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inference.session import Session

OPSET, IR_VERSION = 17, 9
MATRIX_SIDE = 256
# `sleeper` works long for images brighter than this (mean of pixel / 255).
WHITE = 0.95
CALIBRATION_TURNS = 40


def classifier(path: Path, size: int | str = 32, classes: int = 2, layout: str = "NCHW", channels: int = 3,
               batch: int | str = "batch") -> Path:
    """`image` float32 [batch, channels, size, size] -> `logits` [batch, classes]: mean colour times fixed weights."""
    return _save(path, _logits_nodes(layout), [], *_interface(size, classes, layout, channels, batch),
                 _weights(channels, classes))


def classifier_logits(image_input: NDArray, classes: int = 2, layout: str = "NCHW") -> NDArray[np.float32]:
    """What `classifier` computes, in numpy."""
    channels = image_input.shape[1 if layout == "NCHW" else 3]
    weights, bias = (numpy_helper.to_array(tensor) for tensor in _weights(channels, classes))
    return image_input.mean(axis=(2, 3) if layout == "NCHW" else (1, 2)) @ weights + bias


def sleeper(path: Path, seconds: float, size: int = 32) -> Path:
    """As `classifier`, but a white image takes about `seconds` in one native `session.run`."""
    _sleeper(path, CALIBRATION_TURNS, size)
    turn_s = _white_run_s(path, size) / CALIBRATION_TURNS
    return _sleeper(path, max(1, round(seconds / turn_s)), size)


def heavy(path: Path, megabytes: int) -> Path:
    """As `classifier`, with a chain of square matrices behind it that are `megabytes` of weights."""
    side = 1024
    count = round(megabytes * 1e6 / (side * side * 4))
    nodes = _logits_nodes("NCHW")
    nodes[-1].output[0] = "plain_logits"
    nodes.append(helper.make_node("MatMul", ["plain_logits", "widen"], ["wide0"]))
    nodes += [helper.make_node("MatMul", [f"wide{number}", f"square{number}"], [f"wide{number + 1}"])
              for number in range(count)]
    nodes.append(helper.make_node("MatMul", [f"wide{count}", "narrow"], ["logits"]))
    random = np.random.default_rng(0)
    shapes = {"widen": (2, side), "narrow": (side, 2)} | {f"square{number}": (side, side) for number in range(count)}
    weights = [numpy_helper.from_array(random.standard_normal(shape, np.float32) / 32, name)
               for name, shape in shapes.items()]
    return _save(path, nodes, weights, *_interface(32, 2, "NCHW", 3, "batch"), _weights(3, 2))


def _logits_nodes(layout: str) -> list[onnx.NodeProto]:
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    return [helper.make_node("ReduceMean", ["image"], ["mean_color"], axes=axes, keepdims=0),
            helper.make_node("Gemm", ["mean_color", "weights", "bias"], ["logits"])]


def _weights(channels: int, classes: int) -> list[onnx.TensorProto]:
    random = np.random.default_rng(7)
    weights = random.normal(0, 4, (channels, classes)).astype(np.float32)
    bias = random.normal(0, 1, classes).astype(np.float32)
    return [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")]


def _interface(size: int | str, classes: int, layout: str, channels: int,
               batch: int | str) -> tuple[onnx.ValueInfoProto, onnx.ValueInfoProto]:
    shape = [batch, channels, size, size] if layout == "NCHW" else [batch, size, size, channels]
    return (helper.make_tensor_value_info("image", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes]))


def _sleeper(path: Path, turns: int, size: int) -> Path:
    """Turns a matrix by an orthogonal one, so that it stays tame; a trace of it is added to the logits."""
    nodes = _logits_nodes("NCHW")
    nodes[-1].output[0] = "plain_logits"
    nodes += [
        helper.make_node("ReduceMean", ["image"], ["brightness"], keepdims=0),
        helper.make_node("Greater", ["brightness", "white"], ["is_white"]),
        helper.make_node("Where", ["is_white", "many", "one"], ["turns"]),
        helper.make_node("Loop", ["turns", "", "start"], ["turned"], body=_turn_once()),
        helper.make_node("ReduceMean", ["turned"], ["turned_mean"], keepdims=0),
        helper.make_node("Mul", ["turned_mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["plain_logits", "nothing"], ["logits"]),
    ]
    orthogonal = np.linalg.qr(np.random.default_rng(3).normal(size=(MATRIX_SIDE, MATRIX_SIDE)))[0]
    values = {"white": np.float32(WHITE), "many": np.int64(turns), "one": np.int64(1), "zero": np.float32(0),
              "start": np.eye(MATRIX_SIDE, dtype=np.float32), "rotation": orthogonal.astype(np.float32)}
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    return _save(path, nodes, constants, *_interface(size, 2, "NCHW", 3, "batch"), _weights(3, 2))


def _turn_once() -> onnx.GraphProto:
    """The loop's body; `rotation` is taken from the graph around it."""
    matrix = [MATRIX_SIDE, MATRIX_SIDE]
    inputs = [helper.make_tensor_value_info("turn", TensorProto.INT64, []),
              helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
              helper.make_tensor_value_info("before", TensorProto.FLOAT, matrix)]
    outputs = [helper.make_tensor_value_info("still", TensorProto.BOOL, []),
               helper.make_tensor_value_info("after", TensorProto.FLOAT, matrix)]
    nodes = [helper.make_node("MatMul", ["before", "rotation"], ["after"]),
             helper.make_node("Identity", ["go_on"], ["still"])]
    return helper.make_graph(nodes, "turn_once", inputs, outputs)


def _white_run_s(path: Path, size: int) -> float:
    session, white = Session(path), np.ones((1, 3, size, size), np.float32)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        session.run({"image": white})
        times.append(time.perf_counter() - start)
    return min(times)


def _save(path: Path, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], image: onnx.ValueInfoProto,
          logits: onnx.ValueInfoProto, weights: list[onnx.TensorProto]) -> Path:
    graph = helper.make_graph(nodes, "test", [image], [logits], [*weights, *constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path
