"""What the shapes and names of an ONNX file's outputs say: the task, and what the numbers mean."""

from collections.abc import Callable, Mapping
from typing import Any

from inference.findings.sources.onnx_detectors import detected_classes, detection_facts, detector_facts
from inference.findings.sources.onnx_inputs import Dimension
from inference.findings.sources.seen import INTEGERS, Facts, Seen, first
from inference.model_toml import TaskName
from inference.spec import CHANNELS, TensorInfo

EMBEDDINGS = ("image_embeds", "embedding", "feature", "pooler_output", "last_hidden_state")  # the best first
SCORES_ALREADY = ("softmax", "prob")


def task_of(seen: Seen) -> TaskName | None:
    """The task, None where the outputs do not prove one."""
    if detection_facts(seen) is not None:
        return "object-detection"
    if _embedding(seen) is not None:
        return "image-feature-extraction"
    one = seen.only or (seen.outputs["out"] if seen.outputs.keys() == {"out", "aux"} else None)  # torchvision's
    return _task_of_one(one, seen) if one is not None else None


def outputs_of(task: TaskName, seen: Seen) -> Facts:
    """What the outputs say once the task is known."""
    return _FACTS_OF[task](seen) if task in _FACTS_OF else {}


def class_count(task: TaskName, facts: Mapping[str, Any], seen: Seen) -> int | None:
    """How many classes the outputs tell apart, the background included; None where the shapes do not say."""
    if task == "image-classification":
        return _scores_of_classes(first(seen))
    if task == "image-segmentation" and "columns" not in facts:
        return _planes(seen.outputs[facts["names"]["masks"]], seen) if facts.get("names", {}).get("masks") else None
    return detected_classes(facts, seen)


def masks_output(seen: Seen) -> TensorInfo | None:
    """The prototypes of an instance segmenter: the output of four dimensions."""
    return next((tensor for tensor in seen.outputs.values() if len(tensor.shape) == 4), None)


# The other tasks


def _task_of_one(output: TensorInfo, seen: Seen) -> TaskName | None:
    classes = _scores_of_classes(output)
    if classes is not None and classes > 1:
        return "image-classification"
    if _is_image(output, seen):
        return "image-to-image"
    return "image-segmentation" if _is_class_map(output) or _is_map_of_scores(output, seen) else None


def _is_class_map(output: TensorInfo) -> bool:
    """Whole numbers [batch, h, w], also with an axis of 1."""
    sides = [side for side in output.shape[1:] if side != 1]
    return output.datatype in INTEGERS and len(sides) == 2


def _is_map_of_scores(output: TensorInfo, seen: Seen) -> bool:
    """A plane for each class; where their number is open (torch's older exporter), labels prove that there are."""
    planes = _planes(output, seen)
    if planes is not None:
        return planes > 1
    return len(output.shape) == 4 and output.datatype not in INTEGERS and (seen.labels or 0) > 1


def _is_image(output: TensorInfo, seen: Seen) -> bool:
    """An image at least as large as the input's; with as many labels as channels it is a map of classes instead."""
    planes = _planes(output, seen)
    if planes not in CHANNELS.values() or planes == seen.labels:
        return False
    sides = _sides(output, seen)
    if all(isinstance(side, int) for side in (*sides, *seen.sides)):
        return all(out >= own for out, own in zip(sides, seen.sides, strict=True))  # type: ignore[operator]
    return planes == seen.channels and None in seen.sides


def _scores_of_classes(output: TensorInfo | None) -> int | None:
    """C of [batch, C], also where axes of 1 follow."""
    if output is None or len(output.shape) not in (2, 4) or any(side != 1 for side in output.shape[2:]):
        return None
    return output.shape[1] if isinstance(output.shape[1], int) else None


def _planes(output: TensorInfo, seen: Seen) -> int | None:
    """Channels of [batch, C, h, w] or [batch, h, w, C]; None for a class map, or where the number is open."""
    if len(output.shape) != 4 or output.datatype in ("INT64", "INT32", "BOOL"):
        return None
    planes = output.shape[_channel_axis(output, seen)]
    return planes if isinstance(planes, int) else None


def _channel_axis(output: TensorInfo, seen: Seen) -> int:
    """The axis beside the input's sides, or as long as there are labels, or an image's channels; else the input's."""
    for axis, sides in ((1, output.shape[:1:-1]), (3, output.shape[2:0:-1])):
        if sides == seen.sides and None not in sides:
            return axis
    for lengths in ({seen.labels} - {None}, set(CHANNELS.values())):
        axes = [axis for axis in (1, 3) if output.shape[axis] in lengths]
        if len(axes) == 1:
            return axes[0]
    return 1 if seen.layout == "NCHW" else 3


def _sides(output: TensorInfo, seen: Seen) -> tuple[Dimension, Dimension]:
    """Width and height of an image."""
    top = 2 if _channel_axis(output, seen) == 1 else 1
    return output.shape[top + 1], output.shape[top]


def _embedding(seen: Seen) -> TensorInfo | None:
    """The output of features; a classifier's logits beside them come first."""
    if "logits" in seen.outputs:
        return None
    for word in EMBEDDINGS:
        for name, tensor in seen.outputs.items():
            if word in name.lower() and len(tensor.shape) in (2, 3, 4):
                return tensor
    return None


def _classification(seen: Seen) -> Facts:
    scores = first(seen)
    if scores is not None and any(word in scores.name.lower() for word in SCORES_ALREADY):
        return {"activation": "none"}
    return {"activation": "sigmoid"} if _scores_of_classes(scores) == 1 else {}


def _segmentation(seen: Seen) -> Facts:
    maps = [tensor for tensor in seen.outputs.values() if len(tensor.shape) in (3, 4)]
    rows = [tensor for tensor in maps if len(tensor.shape) == 3 and tensor.datatype not in INTEGERS]
    if not maps:
        return {}
    if len(maps) == 2 and len(rows) == 1 and (masks := masks_output(seen)):
        return {"names": {"boxes": rows[0].name, "masks": masks.name}}
    plane = next((tensor for tensor in maps if tensor.name in ("logits", "out", "output", "masks")), maps[0])
    facts: Facts = {"names": {"masks": plane.name}}
    if plane.datatype in INTEGERS:
        return facts | {"activation": "none"}
    return facts | ({"activation": "sigmoid"} if _planes(plane, seen) == 1 else {})


def _features(seen: Seen) -> Facts:
    vector = next((tensor for tensor in seen.outputs.values() if len(tensor.shape) == 2), None)
    embedding = _embedding(seen) or vector or first(seen)
    return {"names": {"embedding": embedding.name}} if embedding is not None else {}


def _image(seen: Seen) -> Facts:
    images = [tensor for tensor in seen.outputs.values() if _planes(tensor, seen) in CHANNELS.values()]
    if not images:
        return {}
    facts: Facts = {"names": {"image": images[0].name}}
    if images[0].datatype == "UINT8":
        facts["range"] = (0.0, 255.0)
    if seen.channels == 1 and _planes(images[0], seen) == 1:
        facts["color"] = "Y"
    return facts


_FACTS_OF: Mapping[str, Callable[[Seen], Facts]] = {
    "image-classification": _classification, "object-detection": detector_facts, "image-segmentation": _segmentation,
    "image-feature-extraction": _features, "image-to-image": _image,
}
