"""Classifiers whose scores are a map from labels to numbers, as skl2onnx's ZipMap and Custom Vision's exports have it.

Custom Vision's own `predict.py` resizes with Pillow's default; what its metadata do not say (`image_metadata.py`) is as
it was before they said it: pixels in BGR as they are.
"""

from inference.findings.sources.seen import Facts, Seen
from inference.spec import MAPS

CUSTOM_VISION = {"classLabel", "loss"}


def map_facts(seen: Seen) -> Facts | None:
    """The facts of a classifier with such an output; None for another model."""
    if all(output.datatype != MAPS for output in seen.outputs.values()):
        return None
    custom_vision: Facts = {"color": "BGR", "scale": 1.0, "resample": "bicubic"}
    return {"activation": "none"} | (custom_vision if seen.outputs.keys() == CUSTOM_VISION else {})
