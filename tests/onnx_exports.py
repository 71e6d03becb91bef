"""Small random networks in the form in which well-known exporters write theirs, metadata and side files included."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 9
SIDE = 64  # pixels of a detector's input
STRIDE = 8  # of its grid of places
MASK_STRIDE = 4
PROTOTYPES = 4
NAMES = ("strawberry", "leaf", "flower")
Shape = Sequence[int | str]


def ultralytics_detector(folder: Path) -> Path:
    """As `yolo export model=yolo11n.pt format=onnx imgsz=64`: [1, 4 + classes, places], boxes in pixels."""
    nodes, weights = _rows("output0")
    outputs = {"output0": (1, 4 + len(NAMES), _places())}
    return _save(folder, nodes, weights, {"images": (1, 3, SIDE, SIDE)}, outputs, ultralytics_metadata("detect", SIDE))


def ultralytics_segmenter(folder: Path) -> Path:
    """As of a -seg model: rows with mask coefficients, and prototypes at a quarter of the input's sides."""
    nodes, weights = _rows("output0", PROTOTYPES)
    nodes += [helper.make_node("Conv", ["images", "prototype_weights"], ["output1"], kernel_shape=[MASK_STRIDE] * 2,
                               strides=[MASK_STRIDE] * 2)]
    weights["prototype_weights"] = _random((PROTOTYPES, 3, MASK_STRIDE, MASK_STRIDE), 5)
    side = SIDE // MASK_STRIDE
    outputs = {"output0": (1, 4 + len(NAMES) + PROTOTYPES, _places()), "output1": (1, PROTOTYPES, side, side)}
    return _save(folder, nodes, weights, {"images": (1, 3, SIDE, SIDE)}, outputs,
                 ultralytics_metadata("segment", SIDE))


def ultralytics_pose(folder: Path) -> Path:
    """As of a -pose model with two keypoints: rows that end with x, y and visibility of each."""
    further = [(SIDE, 0.0), (SIDE, 0.0), (1.0, 0.0)] * 2
    nodes, weights = _rows("output0", further=further)
    metadata = ultralytics_metadata("pose", SIDE) | {"kpt_shape": "[2, 3]", "kpt_names": "{0: ['tip', 'stem']}"}
    return _save(folder, nodes, weights, {"images": (1, 3, SIDE, SIDE)},
                 {"output0": (1, 4 + len(NAMES) + len(further), _places())}, metadata)


def ultralytics_oriented(folder: Path) -> Path:
    """As of an -obb model: rows that end with an angle."""
    nodes, weights = _rows("output0", further=[(np.pi, -np.pi / 4)])
    return _save(folder, nodes, weights, {"images": (1, 3, SIDE, SIDE)}, {"output0": (1, 5 + len(NAMES), _places())},
                 ultralytics_metadata("obb", SIDE))


def ultralytics_classifier(folder: Path, side: int = 32) -> Path:
    """As of a -cls model: the softmax is part of the graph."""
    nodes, weights = _scores("images", "logits", len(NAMES))
    nodes.append(helper.make_node("Softmax", ["logits"], ["output0"], axis=1))
    return _save(folder, nodes, weights, {"images": (1, 3, side, side)}, {"output0": (1, len(NAMES))},
                 ultralytics_metadata("classify", side))


def hugging_face_classifier(folder: Path, preprocessor: Mapping[str, Any]) -> Path:
    """As `optimum-cli export onnx`: every axis open, labels in config.json."""
    nodes, weights = _scores("pixel_values", "logits", len(NAMES))
    config = {"architectures": ["ConvNextForImageClassification"], "model_type": "convnext", "image_size": 224,
              "id2label": {str(number): name for number, name in enumerate(NAMES)},
              "label2id": {name: number for number, name in enumerate(NAMES)}, "torch_dtype": "float32"}
    _write(folder / "config.json", config)
    _write(folder / "preprocessor_config.json", preprocessor)
    return _save(folder, nodes, weights, {"pixel_values": ("batch_size", "num_channels", "height", "width")},
                 {"logits": ("batch_size", len(NAMES))})


def timm_classifier(folder: Path, pretrained_cfg: Mapping[str, Any], side: int) -> Path:
    """As timm's onnx_export.py, beside the config.json of timm's repositories."""
    nodes, weights = _scores("input0", "output0", len(NAMES))
    _write(folder / "config.json", {"architecture": "resnet18", "num_classes": len(NAMES), "num_features": 512,
                                    "label_names": list(NAMES), "pretrained_cfg": pretrained_cfg})
    return _save(folder, nodes, weights, {"input0": (1, 3, side, side)}, {"output0": (1, len(NAMES))})


def mask_former(folder: Path, side: int = 64) -> Path:
    """As transformers exports MaskFormer: a query each for red, green and blue, and one that sees nothing. The masks
    are at a quarter of the input's sides."""
    colors = ("red", "green", "blue")
    queries, classes = len(colors) + 1, len(colors) + 1
    sees = np.full((queries, 3), -20, np.float32)
    np.fill_diagonal(sees, 20)
    weights = {"sees": sees.reshape(queries, 3, 1, 1), "dark": np.full(queries, -10, np.float32),
               "nothing": np.zeros((3, queries * classes), np.float32),
               "classes": (np.eye(queries, classes) * 8).astype(np.float32).reshape(1, -1),
               "class_shape": np.array([1, queries, classes])}
    nodes = [helper.make_node("AveragePool", ["pixel_values"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
             helper.make_node("Conv", ["pooled", "sees", "dark"], ["masks_queries_logits"], kernel_shape=[1, 1]),
             helper.make_node("GlobalAveragePool", ["pixel_values"], ["mean"]),
             helper.make_node("Flatten", ["mean"], ["color"], axis=1),
             helper.make_node("MatMul", ["color", "nothing"], ["zeros"]),
             helper.make_node("Add", ["zeros", "classes"], ["flat"]),
             helper.make_node("Reshape", ["flat", "class_shape"], ["class_queries_logits"])]
    _write(folder / "config.json", {"architectures": ["MaskFormerForInstanceSegmentation"], "model_type": "maskformer",
                                    "id2label": {str(number): name for number, name in enumerate(colors)}})
    _write(folder / "preprocessor_config.json", {"do_resize": True, "size": {"height": side, "width": side},
                                                 "do_normalize": False, "do_rescale": True, "rescale_factor": 1 / 255})
    return _save(folder, nodes, weights, {"pixel_values": (1, 3, side, side)},
                 {"class_queries_logits": (1, queries, classes),
                  "masks_queries_logits": (1, queries, side // 4, side // 4)})


def ultralytics_metadata(task: str, side: int) -> dict[str, str]:
    return {"description": "Ultralytics YOLO11n model trained on berries.yaml", "author": "Ultralytics",
            "date": "2025-01-01T00:00:00.000000", "version": "8.3.57", "docs": "https://docs.ultralytics.com",
            "stride": "32", "task": task, "batch": "1", "imgsz": str([side, side]),
            "names": str(dict(enumerate(NAMES))), "args": "{'batch': 1, 'half': False, 'nms': False}", "channels": "3"}


def _rows(output: str, coefficients: int = 0,
          further: Sequence[tuple[float, float]] = ()) -> tuple[list[onnx.NodeProto], dict[str, NDArray]]:
    """Random boxes of up to a third of the input, scores of 0..1, and coefficients of -1..1 for the masks.

    `further` are the spread and the least value of further numbers.
    """
    classes = len(NAMES)
    further = [*[(2.0, -1.0)] * coefficients, *further]
    channels = 4 + classes + len(further)
    factor = [SIDE, SIDE, SIDE / 3, SIDE / 3] + [1.0] * classes + [spread for spread, _ in further]
    offset = [0.0] * (4 + classes) + [least for _, least in further]
    weights = {"row_weights": _random((channels, 3, STRIDE, STRIDE), 3),
               "factor": np.array(factor, np.float32).reshape(1, channels, 1),
               "offset": np.array(offset, np.float32).reshape(1, channels, 1),
               "row_shape": np.array([1, channels, _places()])}
    nodes = [helper.make_node("Conv", ["images", "row_weights"], ["maps"], kernel_shape=[STRIDE] * 2,
                              strides=[STRIDE] * 2),
             helper.make_node("Reshape", ["maps", "row_shape"], ["raw_rows"]),
             helper.make_node("Sigmoid", ["raw_rows"], ["shares"]),
             helper.make_node("Mul", ["shares", "factor"], ["scaled"]),
             helper.make_node("Add", ["scaled", "offset"], [output])]
    return nodes, weights


def _scores(image: str, output: str, classes: int) -> tuple[list[onnx.NodeProto], dict[str, NDArray]]:
    """One convolution, averaged over the image."""
    weights = {"weights": _random((classes, 3, 4, 4), 11)}
    nodes = [helper.make_node("Conv", [image, "weights"], ["features"], kernel_shape=[4, 4], strides=[2, 2]),
             helper.make_node("Relu", ["features"], ["positive"]),
             helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
             helper.make_node("Flatten", ["pooled"], [output], axis=1)]
    return nodes, weights


def _places() -> int:
    return (SIDE // STRIDE) ** 2


def _random(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


def _save(folder: Path, nodes: list[onnx.NodeProto], weights: Mapping[str, NDArray], inputs: Mapping[str, Shape],
          outputs: Mapping[str, Shape], metadata: Mapping[str, str] | None = None) -> Path:
    graph = helper.make_graph(nodes, "main_graph", _values(inputs), _values(outputs),
                              [numpy_helper.from_array(value, name) for name, value in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def _values(shapes: Mapping[str, Shape]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in shapes.items()]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))
