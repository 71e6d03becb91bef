"""Exports of Ultralytics' networks, asked by YOLO("….onnx").predict."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from ultralytics import RTDETR, YOLO
from ultralytics.utils.ops import scale_masks

from tools.exports.making import Ask, Export
from tools.exports.references import Answer, classes, segments
from tools.exports.torch_networks import batch, enliven

SIDE = 320  # pixels of most inputs
MOST, THRESHOLD = 300, 0.25  # of objects, and of scores: the predictor's own
RATES = {"cv3": (-7.0, 1.5), "cv4": (0.0, 1.0), "cv4_kpts": (0.0, 1.0)}  # of the heads' convolutions: mean, deviation
TASKS = {"detect": "object-detection", "obb": "object-detection", "pose": "keypoint-detection",
         "segment": "image-segmentation"}
FREE = {"nms": False}  # the head that needs no suppression
# What each export is made of: the network, and how it is exported.
TABLE: Mapping[str, tuple[str, dict[str, Any]]] = {
    "v3-tiny": ("yolov3-tiny", {}), "v5n": ("yolov5n", {}), "v6n": ("yolov6n", {}), "v8n": ("yolov8n", {}),
    "v8n-nms": ("yolov8n", {"nms": True}), "v8n-dynamic": ("yolov8n", {"dynamic": True}),
    "v8n-half": ("yolov8n", {"half": True}), "v8n-wide": ("yolov8n", {"imgsz": (192, 320)}),
    "v8n-batch": ("yolov8n", {"batch": 2}), "v9t": ("yolov9t", {}), "v10n": ("yolov10n", {}),
    "v10n-free": ("yolov10n", FREE), "11n-pose": ("yolo11n-pose", {}), "11n-pose-nms": ("yolo11n-pose", {"nms": True}),
    "11n-pose-dynamic": ("yolo11n-pose", {"dynamic": True}), "11n-obb": ("yolo11n-obb", {}),
    "11n-obb-nms": ("yolo11n-obb", {"nms": True}), "11n-obb-dynamic": ("yolo11n-obb", {"dynamic": True}),
    "11n-seg": ("yolo11n-seg", {}), "11n-seg-nms": ("yolo11n-seg", {"nms": True}),
    "11n-seg-dynamic": ("yolo11n-seg", {"dynamic": True}), "11n-cls": ("yolo11n-cls", {"imgsz": 224}),
    "11n-cls-wide": ("yolo11n-cls", {"imgsz": (128, 256)}),
    "11n-cls-dynamic": ("yolo11n-cls", {"imgsz": 224, "dynamic": True}), "12n": ("yolo12n", {}),
    "26n": ("yolo26n", {}), "26n-free": ("yolo26n", FREE), "26n-free-dynamic": ("yolo26n", {**FREE, "dynamic": True}),
    "26n-pose-free": ("yolo26n-pose", FREE), "26n-obb-free": ("yolo26n-obb", FREE),
    "26n-seg-free": ("yolo26n-seg", FREE), "26n-semantic": ("yolo26n-sem", {}),
    "26n-semantic-dynamic": ("yolo26n-sem", {"dynamic": True}), "26n-depth": ("yolo26n-depth", {}),
    "26n-depth-dynamic": ("yolo26n-depth", {"dynamic": True}), "rtdetr": ("rtdetr-resnet50", {})}


def _export(network: str, arguments: dict[str, Any], folder: Path) -> Ask:
    kind = RTDETR if network.startswith("rtdetr") else YOLO
    with _working(tempfile.mkdtemp()):
        model = kind(f"{network}.yaml")
        size = 224 if network.endswith("-cls") else SIDE
        enliven(model.model, partial(model.model, batch((size, size))), dict(_heads(model.model.model[-1])))
        written = shutil.move(model.export(format="onnx", **{"imgsz": SIDE} | arguments), folder)
    return partial(_answer, kind, written, {"imgsz": arguments.get("imgsz", SIDE)})


@contextlib.contextmanager
def _working(folder: str) -> Iterator[None]:
    """The exporter writes into the working directory."""
    with contextlib.chdir(folder):
        yield
    shutil.rmtree(folder)


def _heads(last: nn.Module) -> Iterator[tuple[nn.Module, tuple[float, float]]]:
    """The layers of the last module that make what is told, each with a mean and a deviation."""
    if type(last).__name__ == "Classify":
        yield last.linear, (0.0, 2.0)
    elif type(last).__name__ == "RTDETRDecoder":
        yield from ((layer, (-3.0, 1.5)) for layer in [*last.dec_score_head, last.enc_score_head])
        yield last.dec_bbox_head[-1].layers[-1], (0.0, 0.5)
    elif type(last).__name__ == "SemanticSegment":
        yield last.classifier[-1], (0.0, 2.0)
    boxes = (4.0, 0.4) if getattr(last, "reg_max", 16) == 1 else (0.0, 2.0)
    for name, (mean, deviation) in {**RATES, "cv2": boxes}.items():
        for branch in [*(getattr(last, name, None) or []), *(getattr(last, f"one2one_{name}", None) or [])]:
            layer = branch[-1] if isinstance(branch, nn.Sequential) else branch
            if isinstance(layer, nn.Conv2d):
                yield layer, (mean, deviation)


def _answer(kind: type, written: str, arguments: dict[str, Any], image: Path) -> Answer:
    model = kind(written)
    [result] = model.predict(image, verbose=False, device="cpu", **arguments)
    if result.probs is not None:
        return classes(dict(zip(result.names.values(), result.probs.data.tolist(), strict=True)))
    if result.semantic_mask is not None:
        return segments(np.asarray(result.semantic_mask.data).squeeze(), result.names)
    if result.depth is not None:
        return Answer("depth-estimation", values=np.asarray(result.depth.data).squeeze())
    return _objects(model.task, result)


def _objects(task: str, result: Any) -> Answer:
    found = result.boxes if result.obb is None else result.obb
    height, width = result.orig_shape
    boxes = np.asarray(found.xyxy).clip(0, (width, height, width, height))  # turned ones may lie beyond the image
    columns = {"boxes": boxes, "scores": found.conf}
    if result.obb is not None:
        columns["polygons"] = found.xyxyxyxy
    if result.keypoints is not None:
        columns["keypoints"] = result.keypoints.data
    if result.masks is not None:
        columns["masks"] = scale_masks(result.masks.data[None].float(), result.orig_shape)[0] > 0.5
    labels = tuple(result.names[int(number)] for number in found.cls)
    return Answer(TASKS[task], labels, asked={"top_k": MOST, "threshold": THRESHOLD},
                  **{name: np.asarray(values) for name, values in columns.items()})


EXPORTS: dict[str, Export] = {name: partial(_export, *made) for name, made in TABLE.items()}
