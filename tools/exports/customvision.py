"""Custom Vision: its export is a service, so small random networks are written as it writes them: names, metadata,
open shapes, labels.txt.

Answers are those of the steps in the `predict.py` that comes with an export: Pillow's default resize, and colour and
range by the metadata. pip install onnx onnxruntime pillow
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tools.exports.making import Ask, Export
from tools.exports.references import Answer, classes

LABELS = ("apple", "pear", "plum")
ANCHORS = np.array([[0.573, 0.677], [1.87, 2.06], [3.34, 5.47], [7.88, 3.53], [9.77, 9.17]])
PIXELS_BGR = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255",
              "Image.ColorSpaceGamma": "SRGB"}
SHARES_RGB = {"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_0_1"}
THRESHOLD, IOU = 0.3, 0.45
Nodes = list[onnx.NodeProto]
Weights = dict[str, np.ndarray]


# Networks


def _pooled(white: float) -> tuple[Nodes, Weights]:
    """Logits [1, labels] of an image whose white is `white`."""
    nodes = [helper.make_node("Conv", ["data", "filters"], ["features"], kernel_shape=[8, 8], strides=[8, 8]),
             helper.make_node("Relu", ["features"], ["positive"]),
             helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
             helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
             helper.make_node("MatMul", ["flat", "head"], ["logits"])]
    random = np.random.default_rng(2)
    filters, head = random.normal(0, 0.2, (16, 3, 8, 8)) / white, random.normal(0, 2, (16, len(LABELS)))
    return nodes, {"filters": filters, "head": head}


def classifier_of_maps() -> tuple[Nodes, Weights, Mapping[str, Any]]:
    nodes, weights = _pooled(255)
    nodes += [helper.make_node("Softmax", ["logits"], ["shares"], axis=1),
              helper.make_node("ZipMap", ["shares"], ["loss"], domain="ai.onnx.ml", classlabels_strings=LABELS),
              helper.make_node("ArgMax", ["shares"], ["best"], axis=1, keepdims=1),
              helper.make_node("LabelEncoder", ["best"], ["classLabel"], domain="ai.onnx.ml",
                               keys_int64s=range(len(LABELS)), values_strings=LABELS)]
    scores = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    told = {"classLabel": helper.make_tensor_type_proto(TensorProto.STRING, ["None", 1]),
            "loss": helper.make_sequence_type_proto(scores)}
    return nodes, weights, told


def classifier_of_tensors(white: float) -> tuple[Nodes, Weights, Mapping[str, Any]]:
    nodes, weights = _pooled(white)
    nodes.append(helper.make_node("Softmax", ["logits"], ["model_output"], axis=1))
    return nodes, weights, {"model_output": helper.make_tensor_type_proto(TensorProto.FLOAT, ["None", len(LABELS)])}


def detector() -> tuple[Nodes, Weights, Mapping[str, Any]]:
    """S1: three outputs after the suppression."""
    cells, columns = 25, 4 + len(LABELS)
    names = ["cx", "cy", "w", "h", "scores"]
    nodes = [helper.make_node("Conv", ["image_tensor", "rows"], ["grid"], kernel_shape=[64, 64], strides=[64, 64]),
             helper.make_node("Reshape", ["grid", "shape"], ["columns"]),
             helper.make_node("Sigmoid", ["columns"], ["shares"]),
             helper.make_node("Transpose", ["shares"], ["found"], perm=[0, 2, 1]),
             helper.make_node("Split", ["found", "split"], names, axis=2),
             *[helper.make_node(op, [middle, f"half {side}"], [corner]) for op, middle, side, corner in (
                 ("Sub", "cx", "w", "x1"), ("Sub", "cy", "h", "y1"), ("Add", "cx", "w", "x2"),
                 ("Add", "cy", "h", "y2"))],
             *[helper.make_node("Mul", [side, "quarter"], [f"half {side}"]) for side in ("w", "h")],
             helper.make_node("Concat", ["x1", "y1", "x2", "y2"], ["detected_boxes"], axis=2),
             helper.make_node("ReduceMax", ["scores"], ["detected_scores"], axes=[2], keepdims=0),
             helper.make_node("ArgMax", ["scores"], ["detected_classes"], axis=2, keepdims=0)]
    nodes.sort(key=lambda node: node.op_type in ("Sub", "Add", "Concat"))
    nodes.sort(key=lambda node: node.op_type == "Concat")
    weights = {"rows": np.random.default_rng(4).normal(0, 0.0004, (columns, 3, 64, 64)),
               "shape": np.array([1, columns, cells]), "split": np.array([1, 1, 1, 1, len(LABELS)]),
               "quarter": np.array(0.25)}
    told = {"detected_boxes": helper.make_tensor_type_proto(TensorProto.FLOAT, ["None", "None", 4]),
            "detected_scores": helper.make_tensor_type_proto(TensorProto.FLOAT, ["None", "None"]),
            "detected_classes": helper.make_tensor_type_proto(TensorProto.INT64, ["None", "None"])}
    return nodes, weights, told


def raw_detector() -> tuple[Nodes, Weights, Mapping[str, Any]]:
    """The other kind: YOLOv2's grid, whose anchors are written in predict.py alone."""
    channels = len(ANCHORS) * (5 + len(LABELS))
    nodes = [helper.make_node("Conv", ["data", "grid"], ["model_outputs0"], kernel_shape=[32, 32], strides=[32, 32])]
    weights = {"grid": np.random.default_rng(6).normal(0, 0.0003, (channels, 3, 32, 32))}
    return nodes, weights, {"model_outputs0": helper.make_tensor_type_proto(TensorProto.FLOAT,
                                                                            ["None", "None2", 13, 13])}


# Files


def _export(build: Callable[[], tuple[Nodes, Weights, Mapping[str, Any]]], image: tuple[str, int],
            metadata: Mapping[str, str], answer: Callable[..., Answer], folder: Path) -> Ask:
    (name, side), (nodes, weights, told) = image, build()
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["None", 3, side, side])],
        [helper.make_value_info(output, kind) for output, kind in told.items()],
        [numpy_helper.from_array(_narrow(values), weight) for weight, values in weights.items()])
    model = helper.make_model(graph, ir_version=8, producer_name="customvision", opset_imports=[
        helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)])
    helper.set_model_props(model, dict(metadata))
    onnx.save(model, folder / "model.onnx")
    (folder / "labels.txt").write_text("\n".join(LABELS))
    return partial(_ask, onnxruntime.InferenceSession(folder / "model.onnx"), metadata, side, answer)


def _narrow(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32 if values.dtype.kind == "f" else np.int64)


def _ask(session: onnxruntime.InferenceSession, metadata: Mapping[str, str], side: int,
         answer: Callable[[Mapping[str, Any], tuple[int, int]], Answer], path: Path) -> Answer:
    with Image.open(path) as image:
        size, pixels = image.size, np.asarray(image.convert("RGB").resize((side, side)), np.float32)
    pixels = pixels.transpose(2, 0, 1)[np.newaxis]
    pixels = pixels[:, ::-1] if metadata["Image.BitmapPixelFormat"] == "Bgr8" else pixels
    pixels = pixels if metadata["Image.NominalPixelRange"] == "NominalRange_0_255" else pixels / 255
    names: Sequence[str] = [output.name for output in session.get_outputs()]
    values = session.run(names, {session.get_inputs()[0].name: np.ascontiguousarray(pixels)})
    return answer(dict(zip(names, values, strict=True)), size)


# Answers


def _of_map(outputs: Mapping[str, Any], size: tuple[int, int]) -> Answer:
    return classes(outputs["loss"][0])


def _of_tensor(outputs: Mapping[str, Any], size: tuple[int, int]) -> Answer:
    return classes(dict(zip(LABELS, map(float, outputs["model_output"][0]), strict=True)))


def _of_boxes(outputs: Mapping[str, Any], size: tuple[int, int]) -> Answer:
    boxes, scores, numbers = (outputs[f"detected_{part}"][0] for part in ("boxes", "scores", "classes"))
    return _objects(boxes, scores, numbers, scores >= THRESHOLD, size)


def _objects(boxes: np.ndarray, scores: np.ndarray, numbers: np.ndarray, kept: np.ndarray,
             size: tuple[int, int]) -> Answer:
    """Boxes are shares of the image, and end at its rim here."""
    return Answer("object-detection", tuple(LABELS[number] for number in numbers[kept]), scores[kept],
                  boxes[kept].clip(0, 1) * np.tile(size, 2), asked={"threshold": THRESHOLD, "iou": IOU, "top_k": 300})


def _of_grid(outputs: Mapping[str, Any], size: tuple[int, int]) -> Answer:
    """Of each cell five boxes: offsets from its corner, sides by the anchors, whether there is an object, and which."""
    values = outputs["model_outputs0"][0].astype(np.float64)
    cells = values.shape[-1]
    rows = values.reshape(len(ANCHORS), -1, cells, cells).transpose(2, 3, 0, 1)
    x = (rows[..., 0] + np.arange(cells)[np.newaxis, :, np.newaxis]) / cells
    y = (rows[..., 1] + np.arange(cells)[:, np.newaxis, np.newaxis]) / cells
    half = np.exp(rows[..., 2:4]) * ANCHORS / cells / 2
    boxes = np.stack([x - half[..., 0], y - half[..., 1], x + half[..., 0], y + half[..., 1]], -1).reshape(-1, 4)
    powers = np.exp(rows[..., 5:] - rows[..., 5:].max(axis=-1, keepdims=True))
    shares = powers / powers.sum(axis=-1, keepdims=True) / (1 + np.exp(-rows[..., 4:5]))
    scores, numbers = shares.max(axis=-1).ravel(), shares.argmax(axis=-1).ravel()
    return _objects(boxes, scores, numbers, _suppressed(boxes, scores), size)


def _suppressed(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The rows that stay, the best first; a box goes for a better one of whichever class."""
    kept = list[int]()
    for row in np.argsort(-scores):
        if scores[row] >= THRESHOLD and all(_overlap(boxes[row], boxes[other]) <= IOU for other in kept):
            kept.append(int(row))
    return np.array(kept, np.intp)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    shared = (np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])).clip(0).prod()
    return float(shared / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared))


EXPORTS: dict[str, Export] = {
    "maps": partial(_export, classifier_of_maps, ("data", 224), PIXELS_BGR, _of_map),
    "tensors": partial(_export, partial(classifier_of_tensors, 255), ("data", 224), PIXELS_BGR, _of_tensor),
    "tensors-shares": partial(_export, partial(classifier_of_tensors, 1), ("data", 300), SHARES_RGB, _of_tensor),
    "boxes": partial(_export, detector, ("image_tensor", 320), PIXELS_BGR, _of_boxes),
    "grid": partial(_export, raw_detector, ("data", 416), PIXELS_BGR, _of_grid),
}
