"""The metadata that Ultralytics' exporters write into the ONNX file: YOLOv5's own and that of v8, v10, 11, 26, RT-DETR.

Keys are texts of Python literals: task 'detect', names "{0: 'person'}", imgsz '[640, 640]' (height, width), stride
'32', kpt_shape '[17, 3]', args "{'nms': True}", end2end 'True'. YOLOv5's own exporter writes stride and names alone.

What is fed is what Ultralytics' predictor feeds (engine/predictor.py, LetterBox in data/augment.py), what rows mean is
in nn/modules/head.py and, with `nms=True`, in `NMSModel` of engine/exporter.py.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any

from inference.errors import ModelNotUsable
from inference.findings.sources import ULTRALYTICS, Claims
from inference.model_toml import TaskName
from inference.spec import Interface, TensorInfo

MAX_LITERAL = 2_000_000  # characters; 20 000 class names have a quarter of that
MAX_STRIDE = 1024  # pixels
MAX_KEYPOINTS = 1000
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TASKS: Mapping[str, TaskName] = {
    "detect": "object-detection", "obb": "object-detection", "pose": "keypoint-detection",
    "segment": "image-segmentation", "semantic": "image-segmentation", "classify": "image-classification",
    "depth": "depth-estimation"}
BOX = 4
Facts = dict[str, Any]
Metadata = Mapping[str, str]


def claims(model: Interface) -> Claims | None:
    """What the exporter wrote; None for a model of another origin.

    Raises:
        ModelNotUsable: a value is not what its key holds.
    """
    metadata = model.metadata
    if not {"stride", "names"} <= metadata.keys():
        return None
    task = metadata.get("task", _task_of_yolov5(model))
    facts: Facts = {"labels": _labels(metadata), "scale": 1 / 255, "resample": "linear",
                    "multiple_of": _stride(metadata), **_size(metadata)}
    if task not in TASKS:
        return Claims(ULTRALYTICS, facts)
    return Claims(ULTRALYTICS, facts | {"task": TASKS[task]} | _FACTS_OF[task](model))


def _task_of_yolov5(model: Interface) -> str:
    ranks = {len(output.shape) for output in model.outputs}
    if ranks == {2}:
        return "classify"
    return "segment" if 4 in ranks and 3 in ranks else "detect"


# Tasks

# LetterBox; with open sides it fills up to the stride alone, which `multiple_of` tells.
_LETTERBOX: Facts = {"resize": "letterbox", "anchor": "center", "rounding": "nearest", "fill": (114.0, 114.0, 114.0)}


def _classify(model: Interface) -> Facts:
    """Resized by Pillow, as torchvision does. v8 has the softmax in its graph and takes plain pixels; YOLOv5 has
    neither."""
    size = _size(model.metadata).get("size")
    if "task" not in model.metadata:
        return {"resize": "crop", "resample": "bilinear", "mean": IMAGENET_MEAN, "std": IMAGENET_STD,
                "activation": "softmax"}
    square = size is None or size[0] == size[1]
    return {"resize": "crop" if square else "stretch", "resample": "bilinear", "activation": "none",
            "shortest_edge": min(size) if size and square else None}


def _depth(model: Interface) -> Facts:
    return {"resize": "stretch", "names": {"depth": model.outputs[0].name}, "interpolation": "aligned"}


def _semantic(model: Interface) -> Facts:
    """Logits of each class, of one alone where there are two; or, from some exporters, the classes' numbers."""
    planes = model.outputs[0].shape[1] if len(model.outputs[0].shape) == BOX else None
    return {**_LETTERBOX, "names": {"masks": model.outputs[0].name}, "background": "none",
            "activation": "sigmoid" if planes == 1 else "softmax"}


def _segment(model: Interface) -> Facts:
    masks = next((output for output in model.outputs if len(output.shape) == 4), None)
    joined = _joined(model)
    if masks is None or joined is None:
        return _detect(model)
    numbers = masks.shape[1] if isinstance(masks.shape[1], int) else 0
    return {**_rows(model, numbers), "names": {"boxes": joined.name, "masks": masks.name}}


def _pose(model: Interface) -> Facts:
    count, numbers = _kpt_shape(model.metadata)
    return {**_rows(model, count * numbers), "keypoints": (count, numbers),
            "keypoint_labels": _kpt_names(model.metadata, count)}


def _oriented(model: Interface) -> Facts:
    """Middle and size of a box in each row, whose last number is its angle; also after NMS."""
    return {**_rows(model, 1), "boxes": "cxcywh", "oriented": True}


def _detect(model: Interface) -> Facts:
    return _rows(model, 0)


_FACTS_OF: Mapping[str, Callable[[Interface], Facts]] = {
    "classify": _classify, "depth": _depth, "detect": _detect, "obb": _oriented, "pose": _pose, "segment": _segment,
    "semantic": _semantic}


# Rows of boxes


def _joined(model: Interface) -> TensorInfo | None:
    return next((output for output in model.outputs if len(output.shape) == 3), None)


def _rows(model: Interface, further: int) -> Facts:
    """What rows mean that end with `further` numbers."""
    facts: Facts = {**_LETTERBOX, "boxes": "cxcywh", "units": "pixels", "activation": "none", "nms": "per-class",
                    "background": "none"}
    joined = _joined(model)
    return facts if joined is None else facts | _layout(joined, len(_labels(model.metadata)), further, model.metadata)


def _layout(joined: TensorInfo, labels: int, further: int, metadata: Metadata) -> Facts:
    """[rows, columns] of YOLOv5, of what has its NMS inside or needs none, and of RT-DETR, [columns, rows] of all
    else."""
    rows, columns = joined.shape[1:]
    if _is_rt_detr(metadata):
        return _rt_detr(columns, labels, metadata)
    if _names_classes(metadata):
        return {"columns": "box score class", "boxes": "xyxy", "nms": "none"}
    if "task" not in metadata:
        return {"columns": "box objectness scores"}
    if rows == BOX + labels + further:
        return {"columns": "box scores"}
    if columns == BOX + 2 + further:  # v10 before it wrote so
        return {"columns": "box score class", "boxes": "xyxy", "nms": "none"}
    return _rt_detr(columns, labels, metadata) if columns == BOX + labels else {"columns": "box scores"}


def _rt_detr(columns: int | str | None, labels: int, metadata: Metadata) -> Facts:
    """Boxes as shares of an image that is stretched; since releases that tell the head, each row names its class."""
    named = columns == BOX + 2 and (labels != 2 or "head" in metadata)
    return {"columns": "box score class" if named else "box scores", "boxes": "cxcywh", "units": "normalised",
            "nms": "none", "resize": "stretch"}


def _is_rt_detr(metadata: Metadata) -> bool:
    told = f"{metadata.get('head', '')} {metadata.get('description', '')}"
    return "rtdetr" in told.lower().replace("-", "")


def _names_classes(metadata: Metadata) -> bool:
    """Whether rows are those of an NMS, or of a head that needs none: box, score, class."""
    args = _literal("args", metadata.get("args", "{}"))
    return metadata.get("end2end") == "True" or (isinstance(args, dict) and args.get("nms") is True)


# Values


def _labels(metadata: Metadata) -> tuple[str, ...]:
    """`names` is a dictionary by class number, in older exports a list."""
    names = _literal("names", metadata["names"])
    if isinstance(names, list | tuple):
        return tuple(map(str, names))
    by_number = {str(number): name for number, name in names.items()} if isinstance(names, dict) else {}
    if by_number and by_number.keys() == set(map(str, range(len(by_number)))):
        return tuple(str(by_number[str(number)]) for number in range(len(by_number)))
    raise _unreadable("names")


def _kpt_shape(metadata: Metadata) -> tuple[int, int]:
    shape = _literal("kpt_shape", metadata.get("kpt_shape", ""))
    if not isinstance(shape, list | tuple) or len(shape) != 2 or not all(map(_is_count, shape)):
        raise _unreadable("kpt_shape")
    if shape[0] > MAX_KEYPOINTS or shape[1] not in (2, 3):
        raise _unreadable("kpt_shape")
    return shape[0], shape[1]


def _kpt_names(metadata: Metadata, count: int) -> tuple[str, ...] | None:
    """Names by the class's number; those of the first class, where they are as many as there are keypoints."""
    names = _literal("kpt_names", metadata.get("kpt_names", "{}"))
    found = next(iter(names.values()), None) if isinstance(names, dict) else names
    return tuple(map(str, found)) if isinstance(found, list | tuple) and len(found) == count else None


def _size(metadata: Metadata) -> Facts:
    if "imgsz" not in metadata:
        return {}
    sides = _literal("imgsz", metadata["imgsz"])
    sides = [sides, sides] if isinstance(sides, int) else sides
    if not isinstance(sides, list | tuple) or len(sides) != 2 or not all(_is_count(side) for side in sides):
        raise _unreadable("imgsz")
    return {"size": (sides[1], sides[0])}


def _stride(metadata: Metadata) -> int:
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
