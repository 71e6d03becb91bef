"""RF-DETR's exports, by the names and shapes of their outputs."""

from inference.findings.sources import IMAGENET
from inference.findings.sources.seen import Facts, Seen, last

BOX = 4


def rf_detr_facts(seen: Seen) -> Facts | None:
    """Places and logits of queries, and a mask of each; pixels as ImageNet's, resized without antialiasing as its
    `predict` does. One class more than there are names is trained to mean nothing."""
    if not {"dets", "labels"} <= seen.outputs.keys() or last(seen.outputs["dets"]) != BOX:
        return None
    if len(seen.outputs["labels"].shape) != 3:
        return None
    names = {"boxes": "dets", "scores": "labels"} | ({"masks": "masks"} if has_masks(seen) else {})
    spare = seen.labels is not None and last(seen.outputs["labels"]) == seen.labels + 1
    return {"names": names, "boxes": "cxcywh", "units": "normalised", "activation": "sigmoid",
            "background": "last" if spare else "none", "nms": "none", "threshold": 0.5, "resize": "stretch",
            "resample": "linear", **IMAGENET}


def has_masks(seen: Seen) -> bool:
    """Whether there is a mask [batch, queries, h, w] of each query."""
    return "masks" in seen.outputs and len(seen.outputs["masks"].shape) == 4
