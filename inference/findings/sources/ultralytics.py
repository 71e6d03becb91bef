"""The metadata that Ultralytics' exporters write into the ONNX file: YOLOv5's own and that of v8, v10, v11 and later.

Keys are texts of Python literals: task 'detect', names "{0: 'person'}", imgsz '[640, 640]' (height, width), stride
'32', args "{'nms': True}", end2end 'True'. YOLOv5's own exporter writes stride and names alone.
"""

import ast
from collections.abc import Mapping
from typing import Any

from inference.errors import ModelNotUsable
from inference.findings.sources import ULTRALYTICS, Claims
from inference.spec import Interface, TensorInfo

MAX_LITERAL = 2_000_000  # characters; 20 000 class names have a quarter of that
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TASKS = {"detect": "object-detection", "segment": "image-segmentation", "classify": "image-classification"}
NOT_SERVED = ("pose", "obb")
BOX = 4
MAX_STRIDE = 1024  # pixels
Facts = dict[str, Any]


def claims(model: Interface) -> Claims | None:
    """What the exporter wrote; None for a model of another origin.

    Raises:
        ModelNotUsable: a value is not what its key holds.
    """
    metadata = model.metadata
    if not {"stride", "names"} <= metadata.keys():
        return None
    task = metadata.get("task", _task_of_yolov5(model))
    labels = _labels(metadata)
    facts: Facts = {"labels": labels, "scale": 1 / 255, "resample": "bilinear", "multiple_of": _stride(metadata)}
    facts |= _size(metadata)
    if task in NOT_SERVED:
        return Claims(f'{ULTRALYTICS} (task "{task}" is served as tensor for now)',
                      {**facts, "task": "tensor", **_LETTERBOX})
    if task not in TASKS:
        return Claims(ULTRALYTICS, facts)
    facts["task"] = TASKS[task]
    return Claims(ULTRALYTICS, facts | (_classify(metadata) if task == "classify" else _detect(model, len(labels))))


def _task_of_yolov5(model: Interface) -> str:
    ranks = {len(output.shape) for output in model.outputs}
    if ranks == {2}:
        return "classify"
    return "segment" if 4 in ranks and 3 in ranks else "detect"


# YOLOv8's preprocessing; the stride that fits a rectangle better is for batches of one, which an export does not know.
_LETTERBOX: Facts = {"resize": "letterbox", "anchor": "center", "fill": (114.0, 114.0, 114.0)}


def _classify(metadata: Mapping[str, str]) -> Facts:
    """v8 has the softmax in its graph and takes plain pixels; YOLOv5 has neither."""
    if "task" in metadata:
        size = _size(metadata).get("size")
        return {"resize": "crop", "shortest_edge": min(size) if size else None, "activation": "none"}
    return {"resize": "crop", "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "activation": "softmax"}


def _detect(model: Interface, labels: int) -> Facts:
    joined = next((output for output in model.outputs if len(output.shape) == 3), None)
    masks = next((output for output in model.outputs if len(output.shape) == 4), None)
    facts: Facts = {**_LETTERBOX, "boxes": "cxcywh", "units": "pixels", "activation": "none", "nms": "per-class",
                    "background": "none"}
    if joined is None:
        return facts
    if masks is not None:
        facts["names"] = {"boxes": joined.name, "masks": masks.name}
        coefficients = masks.shape[1] if isinstance(masks.shape[1], int) else 0
        return facts | _layout(joined, labels, coefficients, model.metadata)
    return facts | _layout(joined, labels, 0, model.metadata)


def _layout(joined: TensorInfo, labels: int, coefficients: int, metadata: Mapping[str, str]) -> Facts:
    """[rows, columns] of YOLOv5, of built-in NMS and of RT-DETR, [columns, rows] of all else."""
    rows, columns = joined.shape[1:]
    if _has_nms(metadata):
        return {"columns": "box score class", "boxes": "xyxy", "nms": "none"}
    if "task" not in metadata:
        return {"columns": "box objectness scores"}
    if rows == BOX + labels + coefficients:
        return {"columns": "box scores"}
    is_rt_detr = "rtdetr" in metadata.get("description", "").lower().replace("-", "")
    if columns == BOX + 2 + coefficients and not is_rt_detr:
        return {"columns": "box score class", "boxes": "xyxy", "nms": "none"}
    if columns == BOX + labels + coefficients:
        return {"columns": "box scores", "units": "normalised", "nms": "none", "resize": "stretch"}
    return {"columns": "box scores"}


def _has_nms(metadata: Mapping[str, str]) -> bool:
    args = _literal("args", metadata.get("args", "{}"))
    return metadata.get("end2end") == "True" or (isinstance(args, dict) and args.get("nms") is True)


def _labels(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """`names` is a dictionary by class number, in older exports a list."""
    names = _literal("names", metadata["names"])
    if isinstance(names, list | tuple):
        return tuple(map(str, names))
    by_number = {str(number): name for number, name in names.items()} if isinstance(names, dict) else {}
    if by_number and by_number.keys() == set(map(str, range(len(by_number)))):
        return tuple(str(by_number[str(number)]) for number in range(len(by_number)))
    raise _unreadable("names")


def _size(metadata: Mapping[str, str]) -> Facts:
    if "imgsz" not in metadata:
        return {}
    sides = _literal("imgsz", metadata["imgsz"])
    sides = [sides, sides] if isinstance(sides, int) else sides
    if not isinstance(sides, list | tuple) or len(sides) != 2 or not all(_is_count(side) for side in sides):
        raise _unreadable("imgsz")
    return {"size": (sides[1], sides[0])}


def _stride(metadata: Mapping[str, str]) -> int:
    """The stride, which YOLOv5 writes as a number such as 32.0 or as a list; the largest counts."""
    stride = _literal("stride", metadata["stride"])
    strides = stride if isinstance(stride, list | tuple) else [stride]
    if not strides or not all(isinstance(value, int | float) and 1 <= value <= MAX_STRIDE for value in strides):
        raise _unreadable("stride")
    return int(max(strides))


def _literal(key: str, text: str) -> Any:
    if len(text) > MAX_LITERAL:
        raise _unreadable(key)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise _unreadable(key) from error


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _unreadable(key: str) -> ModelNotUsable:
    return ModelNotUsable(f"the {ULTRALYTICS} of the ONNX file cannot be read, {key}: export the model again")
