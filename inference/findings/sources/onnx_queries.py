"""Segmenters by queries, by the names of their outputs in Hugging Face's transformers."""

from inference.findings.sources.seen import Facts, Seen

# Which output tells the queries' classes, and which one their masks.
NAMES = (("class_queries_logits", "masks_queries_logits"),  # MaskFormer, Mask2Former, EoMT, OneFormer
         ("logits", "pred_masks"))  # DETR's panoptic head, which tells boxes too


def query_facts(seen: Seen) -> Facts | None:
    """The facts of a segmenter by queries; None for another model. The last class means "nothing"."""
    for queries, masks in NAMES:
        shapes = [seen.outputs[name].shape for name in (queries, masks) if name in seen.outputs]
        if [len(shape) for shape in shapes] == [3, 4]:
            return {"names": {"queries": queries, "masks": masks}, "activation": "softmax", "background": "last"}
    return None
