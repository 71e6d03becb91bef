"""What is taken for granted where nothing tells it, with a warning that says so."""

from typing import Any

from inference.findings.facts import Facts
from inference.findings.keras_families import MINUS_1_TO_1, keras_family
from inference.findings.sources import DEFAULT, IMAGENET, ONNX_SHAPES, Claims
from inference.model_toml import TaskName
from inference.onnx_graph import PYTORCH
from inference.spec import Interface, Size, TensorInfo

TRAINED_ON_IMAGENET = ("image-classification", "image-segmentation", "image-feature-extraction", "depth-estimation")
WHOLE_NUMBERS = ("UINT8", "INT8")
FACE_SIDES = (112, 160)  # pixels, of the networks that tell faces apart: ArcFace and its like, FaceNet
# Of an image's shorter side to the input's, whose middle torchvision's and most other evaluations on ImageNet look at.
IMAGENET_CLASSES, CROP = 1000, 256 / 224
ASK = "write mean and std (and scale) below [input] in model.toml if the model was trained with others"


def usual_crop(facts: Facts, classes: int | None, size: Size | None, model: Interface) -> list[Claims]:
    """The middle of the image for a PyTorch classifier of ImageNet's thousand classes of which nothing is told: those
    are evaluated so. Others are often trained on stretched images."""
    told = any(facts.first(fact) is not None for fact in ("resize", "mean", "std", "scale"))
    if told or size is None or classes != IMAGENET_CLASSES or model.exporter != PYTORCH:
        return []
    facts.warn("resize is not known: the middle of the image is taken, as in evaluations on ImageNet, since there are "
               '1000 classes; write resize = "stretch" (or "crop" with another shortest_edge) below [input] in '
               "model.toml if the model was trained so")
    crop: dict[str, Any] = {"resize": "crop", "size": size, "shortest_edge": round(min(size) * CROP)}
    return [Claims(DEFAULT, crop)]


def usual_values(facts: Facts, task: TaskName, model: Interface, image: TensorInfo, is_mask: bool) -> list[Claims]:
    """Mean and deviation where no source has them: those of Keras' families, of ArcFace, of ImageNet for a PyTorch
    classifier, segmenter or encoder, else none. `is_mask` tells a model that makes an image of one plane of colours."""
    is_asked = is_mask or task in TRAINED_ON_IMAGENET or facts.first("values_are_open")
    if image.datatype in WHOLE_NUMBERS or not is_asked:
        return []
    if any(facts.first(fact) is not None for fact in ("mean", "std", "scale")):
        return []
    keras = keras_family(model)
    if keras is not None:
        family, pixels = keras
        facts.warn(f"mean and std are not known: those of Keras' {family} are assumed, by its layers' names; {ASK}")
        return [Claims(f"layers' names ({family})", pixels)]
    if task == "image-feature-extraction" and any(image.shape[1:].count(side) == 2 for side in FACE_SIDES):
        facts.warn("mean and std are not known: pixels of -1 to 1 are assumed, as of networks that tell faces apart, "
                   f"by the input's size; {ASK}")
        return [Claims(ONNX_SHAPES, MINUS_1_TO_1)]
    if model.exporter == PYTORCH and task != "object-detection" and facts.first("color") not in ("L", "Y"):
        facts.warn(f"mean and std are not known: those of ImageNet are assumed; {ASK}")
        return [Claims(DEFAULT, IMAGENET)]
    facts.warn(f"mean and std are not known: 0 and 1 are assumed; {ASK}")
    return []


def warn_of_family(facts: Facts) -> None:
    """Say that pixels go in as a family of detectors takes them, by the names and shapes of its outputs alone, unless a
    person wrote how they do."""
    family = facts.first("family")
    own, *_ = facts.claims
    if family is None or any(own.facts.get(fact) is not None for fact in ("color", "scale", "mean", "std")):
        return
    told = ", ".join(f"{fact} {_told(facts.first(fact))}" for fact in ("color", "scale", "mean", "std"))
    facts.warn(f"it is taken for {family} by the names and shapes of its outputs, and its pixels go in as those of "
               f"{family}: {told}; write these below [input] in model.toml if the model was trained with others")


def _told(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else f"{value:.4g}" if isinstance(value, float) else str(value)
