"""What a file says of the image input and the ONNX file contradicts: it is named, and not followed."""

from inference.findings.facts import Candidate, Facts
from inference.findings.sources.onnx_inputs import ImageInput, told
from inference.model_toml import MODEL_TOML, Layout

PLACES = {"NCHW": "first", "NHWC": "last"}
WHOSE = "is it the file of this model?"


def name_contradictions(facts: Facts, image: ImageInput, layout: Layout) -> None:
    """Warn of every file whose layout, channels or size are not those of the input."""
    for source, written in facts.known("written_layout"):
        if layout == image.layout != written:
            facts.warn(f"{source} says that channels come {PLACES[written]}, and input {told(image.tensor)} has them "
                       f"{PLACES[layout]}: they are fed as the input has them")
    for source, count in facts.known("channels"):
        if image.channels(layout) not in (None, count):
            facts.warn(f"{source} is for images of {count} channels, and input {told(image.tensor)} takes "
                       f"{image.channels(layout)}: {WHOSE}")
    for source, size in _sizes(facts):
        if None not in image.sides(layout) and size != image.sides(layout):
            facts.warn(f"{source} is for images of {size[0]} x {size[1]}, and input {told(image.tensor)} takes none of "
                       f"this size: {WHOSE}")


def _sizes(facts: Facts) -> list[Candidate]:
    """The size that the best file recommends; one that sides only come close to contradicts nothing."""
    for claims in facts.claims:
        if claims.source != MODEL_TOML and (claims.facts.get("size") or claims.facts.get("resize") == "fit"):
            exact = claims.facts.get("resize") not in ("fit", "closest")
            return [(claims.source, claims.facts["size"])] if exact else []
    return facts.known("image_size")[:1]
