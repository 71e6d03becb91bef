"""Detectors by the names and shapes of their outputs.

A shape alone seldom proves one: `detection_facts` asks for names that one exporter uses, or for a number of labels that
fits. `detector_facts` is asked once a person or a file has said that it is one, and takes the usual for granted.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from inference.boxes.rows import BESIDE
from inference.evidence import BoxEvidence, rows_of
from inference.findings.sources.onnx_grids import grid_facts
from inference.findings.sources.onnx_rf_detr import rf_detr_facts
from inference.findings.sources.onnx_rows import BOX, any_joined, row_facts
from inference.findings.sources.onnx_strides import stride_facts
from inference.findings.sources.seen import Facts, Seen, last
from inference.model_toml import Background
from inference.spec import TensorInfo


def detection_facts(seen: Seen) -> Facts | None:
    """The facts of a detector whose outputs can be nothing else."""
    for recognise in (_detr, _tensorflow, _custom_vision, _boxes_labels_scores, _dets_labels, rf_detr_facts, grid_facts,
                      _boxes_scores, stride_facts, row_facts):
        facts = recognise(seen)
        if facts is not None:
            return facts
    return None


def _detr(seen: Seen) -> Facts | None:
    """Boxes are shares of the input. Whether the last class means "nothing" shows in the number of labels."""
    if not {"logits", "pred_boxes"} <= seen.outputs.keys():
        return None
    facts: Facts = {"names": {"boxes": "pred_boxes", "scores": "logits"}, "boxes": "cxcywh", "units": "normalised",
                    "nms": "none", "threshold": 0.5}
    classes = last(seen.outputs["logits"])
    if classes is not None and seen.labels == classes:
        facts |= {"activation": "sigmoid", "background": "none"}
    elif classes is not None and seen.labels == classes - 1:
        facts |= {"activation": "softmax", "background": "last"}
    return facts


def _tensorflow(seen: Seen) -> Facts | None:
    """The TensorFlow Object Detection API: classes count from 1."""
    if not {"detection_boxes", "detection_scores", "detection_classes"} <= seen.outputs.keys():
        return None
    names = {"boxes": "detection_boxes", "scores": "detection_scores", "classes": "detection_classes"}
    return {"names": names, "boxes": "yxyx", "units": "normalised", "activation": "none", "background": "first",
            "nms": "none", "resize": "fit"}


def _custom_vision(seen: Seen) -> Facts | None:
    """Custom Vision's domains "[S1]", which do the suppression; its predict.py resizes with Pillow's default."""
    names = {"boxes": "detected_boxes", "scores": "detected_scores", "classes": "detected_classes"}
    if not set(names.values()) <= seen.outputs.keys():
        return None
    return {"names": names, "boxes": "xyxy", "units": "normalised", "activation": "none", "background": "none",
            "nms": "none", "resample": "bicubic"}


def _boxes_labels_scores(seen: Seen) -> Facts | None:
    """torchvision (no batch axis, class 0 is the background) and RT-DETR or D-FINE (with one, no background)."""
    if not {"boxes", "labels", "scores"} <= seen.outputs.keys():
        return None
    torchvision = len(seen.outputs["boxes"].shape) == 2
    own_size: Facts = {"resize": "fit"} if torchvision and None in seen.sides else {}  # it resizes by itself
    return own_size | {"names": {"boxes": "boxes", "scores": "scores", "classes": "labels"}, "boxes": "xyxy",
                       "units": "pixels", "activation": "none", "background": "first" if torchvision else "none",
                       "nms": "none"}


def _dets_labels(seen: Seen) -> Facts | None:
    """mmdetection: four corners and a score in one row, the class beside it."""
    if not {"dets", "labels"} <= seen.outputs.keys() or last(seen.outputs["dets"]) != BOX + 1:
        return None
    return {"names": {"boxes": "dets", "classes": "labels"}, "boxes": "xyxy", "units": "pixels",
            "activation": "none", "background": "none", "nms": "none"}


def _boxes_scores(seen: Seen) -> Facts | None:
    """Two outputs of these names. Units and order of the corners differ between exporters: test images or a person
    have to say."""
    if seen.outputs.keys() != {"boxes", "scores"} or last(seen.outputs["boxes"]) != BOX:
        return None
    return _separate(seen, "boxes", "scores")


def detector_facts(seen: Seen) -> Facts:
    """The facts of a detector, once a person or a file has said that it is one."""
    return detection_facts(seen) or any_joined(seen) or _any_separate(seen) or {}


def _any_separate(seen: Seen) -> Facts | None:
    threes = [tensor for tensor in seen.outputs.values() if len(tensor.shape) == 3]
    boxes = [tensor.name for tensor in threes if last(tensor) == BOX]
    scores = [tensor.name for tensor in threes if last(tensor) != BOX]
    return _separate(seen, boxes[0], scores[0]) if len(boxes) == len(scores) == 1 else None


def _separate(seen: Seen, boxes: str, scores: str) -> Facts:
    facts: Facts = {"names": {"boxes": boxes, "scores": scores}, "values_are_open": True} | _shown_boxes(seen, boxes)
    classes = last(seen.outputs[scores])
    if classes is not None and seen.labels == classes - 1:
        return facts | {"background": _shown_background(seen, scores) or "first"}
    background = _shown_background(seen, scores) if seen.labels is None else None
    return facts | ({"background": background} if background else {})


def _shown_boxes(seen: Seen, boxes: str) -> Facts:
    """Corners or not, pixels or shares, as test images show it. Whether sizes go with a centre does not show."""
    shown = seen.shown(seen.outputs[boxes])
    found = BoxEvidence(np.empty((0, BOX)) if shown is None else rows_of(shown, BOX), seen.size or (0, 0))
    if not found.are_corners:
        return {}
    return {"boxes": "xyxy", "units": "normalised" if found.are_shares else "pixels"}


def _shown_background(seen: Seen, scores: str) -> Background | None:
    """Scores that sum to 1 have a class for nothing: the first or the last, whichever is nearly everywhere."""
    shown = seen.shown(seen.outputs[scores])
    if shown is None or not shown.sum_to_1(-1):
        return None
    share = shown.values[0].reshape(-1, shown.shape[-1]).mean(axis=0)
    return "first" if share[0] >= share[-1] else "last"


def detected_classes(facts: Mapping[str, Any], seen: Seen) -> int | None:
    names, columns = facts.get("names", {}), facts.get("columns")
    if columns in BESIDE:
        box = BOX * (facts.get("bins") or 1)
        taken = box + BESIDE[columns] + _mask_coefficients(names, seen) + facts.get("further", 0)
        return _classes_beside(taken, _joined_output(names, seen), seen)
    if columns or "classes" in names or names.get("scores") not in seen.outputs:
        return None
    scores = seen.outputs[names["scores"]]
    return last(scores) if len(scores.shape) == 3 else None


def _joined_output(names: Mapping[str, str], seen: Seen) -> TensorInfo | None:
    if names.get("boxes") in seen.outputs:
        return seen.outputs[names["boxes"]]
    return next((tensor for name, tensor in seen.outputs.items()
                 if name not in names.values() and len(tensor.shape) in (3, 4)), None)


def _classes_beside(taken: int, tensor: TensorInfo | None, seen: Seen) -> int | None:
    """Classes of an output with `taken` further columns: columns are the channels of a map; else the axis that fits the
    labels, or the shorter."""
    shape = () if tensor is None else tensor.shape[1:]
    if len(shape) == 3:
        shape = shape[:1] if seen.layout == "NCHW" else shape[2:]
    sides = [side for side in shape if isinstance(side, int)]
    if seen.labels is not None and taken + seen.labels in sides:
        return seen.labels
    shorter = min(sides, default=0)
    return shorter - taken if shorter > taken else None


def _mask_coefficients(names: Mapping[str, str], seen: Seen) -> int:
    masks = seen.outputs.get(names.get("masks", ""))
    count = masks.shape[1] if masks is not None and len(masks.shape) == 4 else 0
    return count if isinstance(count, int) else 0
