"""Models of keypoints, and of objects with a mask each, by the names of their outputs."""

from inference.findings.sources.onnx_rf_detr import has_masks, rf_detr_facts
from inference.findings.sources.onnx_strides import stride_facts
from inference.findings.sources.seen import Facts, Seen

# torchvision's detectors name what they give; its keypoints' scores have either name.
DETECTED = {"boxes", "labels", "scores"}
KEYPOINT_SCORES = ("keypoints_scores", "keypoint_scores")
HEATMAPS = "heatmaps"  # Hugging Face's ViTPose
TORCHVISION: Facts = {"boxes": "xyxy", "units": "pixels", "activation": "none", "background": "first", "nms": "none"}


def keypoint_facts(seen: Seen) -> Facts | None:
    """The facts of a model of keypoints whose outputs can be nothing else."""
    if HEATMAPS in seen.outputs and len(seen.outputs[HEATMAPS].shape) == 4:
        return {"names": {"heatmaps": HEATMAPS}, "threshold": 0.0}
    strided = stride_facts(seen)
    if strided is not None and "keypoints" in strided["names"]:
        return strided
    return _torchvision(seen, {"keypoints": 3, **dict.fromkeys(KEYPOINT_SCORES, 2)}, "keypoints")


def mask_facts(seen: Seen) -> Facts | None:
    """The facts of a segmenter that gives a mask beside each box: torchvision's Mask R-CNN, RF-DETR."""
    queries = rf_detr_facts(seen)
    return queries if queries and has_masks(seen) else _torchvision(seen, {"masks": 4}, "masks")


def _torchvision(seen: Seen, axes: dict[str, int], needed: str) -> Facts | None:
    """Boxes, labels and scores without a batch axis, and further outputs of so many axes; it resizes by itself."""
    if not DETECTED | {needed} <= seen.outputs.keys() or len(seen.outputs["boxes"].shape) != 2:
        return None
    further = {name for name, count in axes.items() if name in seen.outputs and len(seen.outputs[name].shape) == count}
    if needed not in further:
        return None
    names = {"boxes": "boxes", "scores": "scores", "classes": "labels", needed: needed}
    scores = next((name for name in KEYPOINT_SCORES if name in further), None)
    names |= {"keypoint_scores": scores} if scores else {}
    return {"names": names, **TORCHVISION, **({"resize": "fit"} if None in seen.sides else {})}
