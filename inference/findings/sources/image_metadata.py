"""What an ONNX file's metadata say of its image input: Custom Vision and Windows ML write them.

https://onnx.ai/onnx/repo-docs/MetadataProps.html, by which keys and values may be written in any case.
"""

from inference.findings.sources import IMAGE_METADATA, Claims
from inference.findings.sources.seen import Facts
from inference.spec import Interface

COLORS = {"gray8": "L", "rgb8": "RGB", "rgba8": "RGB", "bgr8": "BGR", "bgra8": "BGR"}
RANGES: dict[str, Facts] = {"nominalrange_0_255": {"scale": 1.0}, "normalized_0_1": {"scale": 1 / 255},
                            "normalized_1_1": {"scale": 2 / 255, "mean": 1.0}}


def claims(model: Interface) -> Claims | None:
    """Colour and range of the pixels; None where neither is written."""
    written = {key.lower(): value.lower() for key, value in model.metadata.items()}
    color = COLORS.get(written.get("image.bitmappixelformat", ""))
    values = RANGES.get(written.get("image.nominalpixelrange", ""), {})
    facts = values | ({"color": color} if color else {})
    return Claims(IMAGE_METADATA, facts) if facts else None
