"""Small and middle models for a start with many of them: convolutions with random weights, no two files alike."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 9
# Side of the input in pixels, channels of the first layer, layers: from 0.1 to 25 MB.
KINDS = ((224, 16, 4), (224, 32, 5), (224, 64, 5), (384, 32, 5), (640, 16, 5), (224, 128, 4))
CLASSES, MOST_CHANNELS = 100, 1024


def make(folder: Path, count: int) -> list[str]:
    """Write `count` models below `folder`; their names."""
    names = [f"model-{number:02}" for number in range(count)]
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        onnx.save(_classifier(np.random.default_rng(number), *KINDS[number % len(KINDS)]), folder / name / "model.onnx")
        (folder / name / "model.toml").write_text("[input]\nmean = 0.5\nstd = 0.25\n")
    return names


def _classifier(random: np.random.Generator, side: int, channels: int, layers: int) -> onnx.ModelProto:
    """Each layer halves the sides and doubles the channels."""
    nodes, weights, before = list[onnx.NodeProto](), list[onnx.TensorProto](), 3
    for layer in range(layers):
        after = min(channels * 2 ** layer, MOST_CHANNELS)
        values = random.normal(0, (2 / (before * 9)) ** 0.5, (after, before, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"k{layer}"))
        nodes += [helper.make_node("Conv", [f"x{layer}", f"k{layer}"], [f"c{layer}"], pads=[1] * 4, strides=[2, 2]),
                  helper.make_node("Relu", [f"c{layer}"], [f"x{layer + 1}"])]
        before = after
    weights.append(numpy_helper.from_array(random.normal(0, 0.1, (before, CLASSES)).astype(np.float32), "w"))
    nodes += [helper.make_node("ReduceMean", [f"x{layers}"], ["mean"], axes=[2, 3], keepdims=0),
              helper.make_node("MatMul", ["mean", "w"], ["logits"])]
    image = helper.make_tensor_value_info("x0", TensorProto.FLOAT, [1, 3, side, side])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])
    graph = helper.make_graph(nodes, "many", [image], [logits], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
