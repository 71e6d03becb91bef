"""ONNX models that answer every image with numbers that a test writes, under an exporter's names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 9
Shape = Sequence[int | str]


def answering(path: Path, outputs: Mapping[str, NDArray], image: Shape = (1, 3, 640, 640),
              shapes: Mapping[str, Shape] | None = None, producer: str = "", name: str = "images") -> Path:
    """A model of these outputs, whatever the image: each is a constant to which nothing times the image's mean is
    added. `shapes` are those that the file tells, where they differ."""
    axes = list(range(len(image)))
    nodes = [helper.make_node("ReduceMean", [name], ["mean"], axes=axes, keepdims=0),
             helper.make_node("Mul", ["mean", "zero"], ["nothing"])]
    nodes += [helper.make_node("Add", [f"constant {output}", "nothing"], [output]) for output in outputs]
    weights = [numpy_helper.from_array(values.astype(np.float32), f"constant {output}")
               for output, values in outputs.items()]
    told = {output: list((shapes or {}).get(output, values.shape)) for output, values in outputs.items()}
    weights.append(numpy_helper.from_array(np.zeros((), np.float32), "zero"))
    return saved(path, nodes, weights, {name: list(image)}, told, producer)


def saved(path: Path, nodes: Sequence[onnx.NodeProto], weights: Sequence[onnx.TensorProto],
          inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], producer: str = "") -> Path:
    """A model of these operators; all inputs and outputs are FP32."""
    taken, given = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                     for name, shape in part.items()] for part in (inputs, outputs))
    graph = helper.make_graph(list(nodes), "test", taken, given, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                              producer_name=producer)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path
