"""Whether three planes, as large as the image, are the colours of an image that a model makes, or the scores of three
classes: by the output's name, its last operator and what it shows for a test image."""

from typing import Literal

from inference.evidence import ACTIVATIONS, picture_range, resembles
from inference.findings.sources.seen import INTEGERS, Seen
from inference.spec import TensorInfo

Planes = Literal["colors", "classes", "unknown"]
NAMES_OF_SCORES = ("logit", "mask", "seg", "class", "prob", "score", "label")
MAKERS_OF_COLORS = ("Tanh", "Clip")
ADVICE = ('add task = "image-segmentation" (and labels = ["…", "…", "…"], the classes in their order) or '
          'task = "image-to-image" in model.toml')
WARNING = ('nothing names its classes, and its three planes look like no image: they are taken for the scores of three '
           'classes; write labels, or task = "image-to-image", in model.toml')


def planes_shown(output: TensorInfo, axis: int, seen: Seen) -> Planes:
    """What an output of three planes along an axis is; colours where the model was not run."""
    shown = seen.shown(output)
    if shown is None or output.datatype in INTEGERS or seen.tested is None:
        return "colors"
    height, width = (shown.shape[side] for side in ((2, 3) if axis == 1 else (1, 2)))
    if seen.tested.size is not None and (width > seen.tested.size[0] or height > seen.tested.size[1]):
        return "colors"  # enlarged
    if any(word in output.name.lower() for word in NAMES_OF_SCORES) or shown.sum_to_1(axis):
        return "classes"
    black_white = picture_range(shown)
    if shown.maker in MAKERS_OF_COLORS or black_white == (0.0, 255.0) or resembles(shown, axis):
        return "colors"
    if black_white is not None and shown.maker not in ACTIVATIONS and shown.fills(*black_white):
        return "colors"
    return "classes" if black_white is None else "unknown"
