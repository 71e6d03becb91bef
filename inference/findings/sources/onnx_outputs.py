"""What the shapes and names of an ONNX file's outputs say: the task, and what the numbers mean."""

from collections.abc import Callable, Mapping
from typing import Any

from inference.evidence import picture_range
from inference.findings.sources import ONNX_SHAPES, TEST_IMAGE, Claims
from inference.findings.sources.onnx_anchors import refuse_anchors
from inference.findings.sources.onnx_anomalies import anomaly_facts
from inference.findings.sources.onnx_classes import class_facts, scores_output
from inference.findings.sources.onnx_depth import depth_facts, tells_depth
from inference.findings.sources.onnx_detectors import detected_classes, detection_facts, detector_facts
from inference.findings.sources.onnx_features import embedding, feature_facts
from inference.findings.sources.onnx_inputs import Dimension
from inference.findings.sources.onnx_keypoints import keypoint_facts, mask_facts
from inference.findings.sources.onnx_maps import map_facts
from inference.findings.sources.onnx_planes import Planes, planes_shown
from inference.findings.sources.onnx_queries import query_facts
from inference.findings.sources.seen import INTEGERS, Facts, Seen, first, last
from inference.model_toml import TaskName
from inference.spec import CHANNELS, TensorInfo

SCORES_ALREADY = ("softmax", "prob")
FEATURE_LENGTHS = (64, 96, 128, 192, 256, 384, 512, 640, 768, 1024, 1280, 1536, 2048)
WHITE = 255
FACE = (112, 112)  # pixels, of ArcFace and its like; exporters join their last normalisation with the layer before
CLASSIFIERS_END = ("Gemm", "MatMul", "Add", "Softmax", "LogSoftmax", "Sigmoid")


def task_of(seen: Seen) -> TaskName | None:
    """The task, None where the outputs do not prove one."""
    if keypoint_facts(seen) is not None:
        return "keypoint-detection"
    if mask_facts(seen) is not None:
        return "image-segmentation"
    if query_facts(seen) is not None or anomaly_facts(seen) is not None:
        return "image-segmentation"
    if tells_depth(seen):
        return "depth-estimation"
    if map_facts(seen) is not None:
        return "image-classification"
    if detection_facts(seen) is not None:
        return "object-detection"
    if class_facts(seen) is not None:
        return "image-classification"
    if embedding(seen) is not None:
        return "image-feature-extraction"
    one = seen.only or (seen.outputs["out"] if seen.outputs.keys() == {"out", "aux"} else None)  # torchvision's
    return _task_of_one(one, seen) if one is not None else None


def colors_or_classes(seen: Seen) -> Planes:
    """What the three planes are that a model makes of a coloured image, as large as that; "colors" of any other."""
    output = seen.only
    if output is None or seen.channels != 3 or _planes(output, seen) != 3 or not _is_image(output, seen):
        return "colors"
    return planes_shown(output, channel_axis(output, seen), seen)


def outputs_of(task: TaskName, seen: Seen) -> list[Claims]:
    """What the outputs say once the task is known, by their shapes, or by what test images show in them."""
    facts = _FACTS_OF[task](seen) if task in _FACTS_OF else {}
    return [Claims(TEST_IMAGE if facts.get("are_shown") else ONNX_SHAPES, facts)]


def class_count(task: TaskName, facts: Mapping[str, Any], seen: Seen) -> int | None:
    """How many classes the outputs tell apart, the background included; None where the shapes do not say."""
    names = facts.get("names", {})
    if task == "image-classification":
        return None if map_facts(seen) else _scores_of_classes(seen.outputs.get(names.get("scores", "")) or first(seen))
    if "queries" in names:
        return last(seen.outputs[names["queries"]])
    if task == "image-segmentation" and "columns" not in facts and "scores" not in facts.get("names", {}):
        output = seen.outputs.get(names.get("masks", ""))
        return None if output is None or _is_class_map(output, seen) else _planes(output, seen)
    return detected_classes(facts, seen)


def masks_output(seen: Seen) -> TensorInfo | None:
    """The prototypes of an instance segmenter: the output of four dimensions."""
    return next((tensor for tensor in seen.outputs.values() if len(tensor.shape) == 4), None)


def map_output(seen: Seen) -> TensorInfo | None:
    """The output that tells the class of each pixel, of a segmenter, or of each query."""
    names = _segmentation(seen).get("names", {})
    name = names.get("queries", names.get("masks"))
    return seen.outputs.get(name) if name else None


def image_output(seen: Seen) -> TensorInfo | None:
    """The output that holds the image, of a model that makes one."""
    return next((tensor for tensor in seen.outputs.values() if _planes(tensor, seen) in CHANNELS.values()), None)


def class_axis(output: TensorInfo, seen: Seen) -> int:
    """The axis of an output's classes."""
    return channel_axis(output, seen) if len(output.shape) == 4 else len(output.shape) - 1


# The other tasks


def _task_of_one(output: TensorInfo, seen: Seen) -> TaskName | None:
    classes = _scores_of_classes(output)
    if classes == 1:
        return "image-classification" if _is_chance(output, seen) else None
    if classes is not None:
        return "image-feature-extraction" if _is_vector(output, seen) else "image-classification"
    if _is_class_map(output, seen):
        return "image-segmentation"
    if _is_image(output, seen):
        return None if _is_measurement(output, seen) else _IMAGE_OR_CLASSES[colors_or_classes(seen)]
    refuse_anchors(output, seen)
    return "image-segmentation" if _is_map_of_scores(output, seen) else None


def _is_chance(output: TensorInfo, seen: Seen) -> bool:
    """One number that a sigmoid made: how likely the one class is, which Keras' binary classifiers tell."""
    shown = seen.shown(output)
    return shown is not None and len(output.shape) == 2 and shown.maker == "Sigmoid"


def _is_vector(output: TensorInfo, seen: Seen) -> bool:
    """A vector of features, as of faces and persons: of a usual length, without labels, and not made by the last layer
    of a classifier, or of an aligned face."""
    shown = seen.shown(output)
    if shown is None or seen.labels is not None or _scores_of_classes(output) not in FEATURE_LENGTHS:
        return False
    features_end = bool(shown.maker) and shown.maker not in CLASSIFIERS_END
    return (features_end or seen.sides == FACE) and not shown.sum_to_1(1)


def _is_measurement(output: TensorInfo, seen: Seen) -> bool:
    """One plane from a coloured image whose values are no picture's: a depth, an anomaly, a heat map. A mask is one."""
    shown = seen.shown(output)
    if shown is None or seen.channels == 1 or _planes(output, seen) != 1 or output.datatype in INTEGERS:
        return False
    return picture_range(shown) != (0.0, 1.0) and shown.numbers.max() < WHITE / 2


def _is_class_map(output: TensorInfo, seen: Seen) -> bool:
    """Whole numbers [batch, h, w], also with an axis of 1; bytes with such an axis may be an image."""
    sides, shown = [side for side in output.shape[1:] if side != 1], seen.shown(output)
    whole = output.datatype in INTEGERS and not _is_image(output, seen)
    return len(sides) == 2 and (whole or (shown is not None and shown.maker == "ArgMax"))


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
    planes = output.shape[channel_axis(output, seen)]
    return planes if isinstance(planes, int) else None


def channel_axis(output: TensorInfo, seen: Seen) -> int:
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
    top = 2 if channel_axis(output, seen) == 1 else 1
    return output.shape[top + 1], output.shape[top]


def _classification(seen: Seen) -> Facts:
    if (mapped := map_facts(seen)) is not None:
        return mapped
    facts, scores = class_facts(seen) or {}, scores_output(seen)
    if scores is not None and any(word in scores.name.lower() for word in SCORES_ALREADY):
        return {**facts, "activation": "none"}
    return facts or ({"activation": "sigmoid"} if _scores_of_classes(scores) == 1 else {})


def _segmentation(seen: Seen) -> Facts:
    objects = mask_facts(seen)
    if objects is not None:
        return objects
    named = query_facts(seen) or anomaly_facts(seen)
    if named is not None:
        return named
    maps = [tensor for tensor in seen.outputs.values() if len(tensor.shape) in (3, 4)]
    rows = [tensor for tensor in maps if len(tensor.shape) == 3 and tensor.datatype not in INTEGERS]
    if not maps:
        return {}
    if len(maps) == 2 and len(rows) == 1 and (masks := masks_output(seen)):
        return {"names": {"boxes": rows[0].name, "masks": masks.name}}
    plane = next((tensor for tensor in maps if tensor.name in ("logits", "out", "output", "masks")), maps[0])
    facts: Facts = {"names": {"masks": plane.name}}
    if _is_class_map(plane, seen):
        return facts | {"activation": "none"}
    return facts | ({"activation": "sigmoid"} if _planes(plane, seen) == 1 else {})


def _keypoints(seen: Seen) -> Facts:
    return keypoint_facts(seen) or detector_facts(seen)


def _image(seen: Seen) -> Facts:
    image = image_output(seen)
    if image is None:
        return {}
    facts: Facts = {"names": {"image": image.name}}
    if image.datatype == "UINT8":
        facts["range"] = (0.0, 255.0)
    if seen.channels == 1 and _planes(image, seen) == 1:
        facts["color"] = "Y"
    return facts


_IMAGE_OR_CLASSES: Mapping[Planes, TaskName | None] = {
    "colors": "image-to-image", "classes": "image-segmentation", "unknown": None}
_FACTS_OF: Mapping[str, Callable[[Seen], Facts]] = {
    "image-classification": _classification, "object-detection": detector_facts, "keypoint-detection": _keypoints,
    "image-segmentation": _segmentation, "depth-estimation": depth_facts,
    "image-feature-extraction": feature_facts, "image-to-image": _image,
}
