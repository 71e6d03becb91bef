"""A Hugging Face export's `config.json`, and the `export.json` of transformers' own exporter: what the model is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.findings.sources import CONFIG, EXPORT_JSON, Claims
from inference.findings.sources.seen import Facts
from inference.findings.sources.text_files import Document, read_json
from inference.model_toml import Activation, TaskName
from inference.spec import Interface, Size

TASK_OF_HEAD: tuple[tuple[str, TaskName], ...] = (
    ("ForImageClassification", "image-classification"), ("ForObjectDetection", "object-detection"),
    ("ForSemanticSegmentation", "image-segmentation"), ("ForUniversalSegmentation", "image-segmentation"),
    ("ForInstanceSegmentation", "image-segmentation"), ("ForSegmentation", "image-segmentation"),
    ("ForPoseEstimation", "keypoint-detection"), ("ForDepthEstimation", "depth-estimation"),
    ("ForImageSuperResolution", "image-to-image"), ("ForImageToImage", "image-to-image"),
    ("ModelWithProjection", "image-feature-extraction"), ("Model", "image-feature-extraction"),
    ("Backbone", "image-feature-extraction"),
)
ZERO_SHOT = "ZeroShot"  # such a head takes texts beside the image
# The output that a head has, by the names of the ONNX exporter; an export may leave the head away.
OUTPUT_OF_TASK = {"image-classification": {"logits"}, "object-detection": {"pred_boxes"},
                  "image-segmentation": {"logits", "masks_queries_logits", "pred_masks"},
                  "keypoint-detection": {"heatmaps"}, "depth-estimation": {"predicted_depth"},
                  "image-to-image": {"reconstruction"}}
FEATURES = {"last_hidden_state", "pooler_output", "image_embeds"}
SOFTMAX_DETECTORS = ("detr", "yolos", "table-transformer", "conditional_yolos")  # their last class means "nothing"
ACTIVATION_OF_PROBLEM: Mapping[str, Activation] = {
    "regression": "none", "multi_label_classification": "sigmoid", "single_label_classification": "softmax"}


class ModelConfig(Document):
    """`config.json`"""

    architectures: tuple[str, ...] = ()
    model_type: str = ""
    id2label: dict[int, str] | None = None
    problem_type: str = ""
    image_size: Any = None
    num_channels: Any = None


class Metadata(Document):
    """What transformers' exporter writes of one file."""

    architecture: str = ""


class Component(Document):
    """One file of an export."""

    metadata: Metadata = Metadata()


class Export(Document):
    """`export.json`"""

    components: Mapping[str, Component] = {}


def claims(folder: Path, model: Interface) -> Claims | None:
    """Task, labels, what the scores are, and the input's size; None where the file is absent or another library's.

    Raises:
        ModelNotUsable: the file is damaged.
    """
    config = read_json(ModelConfig, folder / CONFIG)
    if config is None or not (config.architectures or config.model_type):
        return None
    facts: Facts = {"task": _task(_architecture(config, folder), {output.name for output in model.outputs}),
                    "labels": _labels(config.id2label) if config.id2label else None,
                    "image_size": _size(config.image_size),
                    "channels": config.num_channels if isinstance(config.num_channels, int) else None}
    if facts["task"] == "image-classification" or (facts["task"] is None and config.problem_type):
        facts["activation"] = _activation(config, model)
    if facts["task"] == "object-detection":
        facts |= _detector(config.model_type)
    return Claims(CONFIG, {fact: value for fact, value in facts.items() if value is not None})


def _labels(id2label: Mapping[int, str]) -> tuple[str, ...]:
    """By number; a number that is left out (COCO has some) gets itself as its name."""
    count = max(id2label) + 1
    if count > 2 * len(id2label) + 100:
        return tuple(id2label[number] for number in sorted(id2label))
    return tuple(id2label.get(number, str(number)) for number in range(count))


def _size(written: Any) -> Size | None:
    """`image_size`: a number, or height and width."""
    sides = written if isinstance(written, list) else [written]
    if len(sides) not in (1, 2) or not all(isinstance(side, int) and side > 0 for side in sides):
        return None
    return sides[-1], sides[0]


def _architecture(config: ModelConfig, folder: Path) -> str:
    """The class of the model, "" where it is not told: the `config.json` of one that was never saved itself lacks it,
    and the exporter tells it elsewhere."""
    if config.architectures:
        return config.architectures[0]
    written = read_json(Export, folder / EXPORT_JSON) or Export()
    return written.components.get("model", Component()).metadata.architecture


def _task(name: str, outputs: set[str]) -> TaskName | None:
    """By the architecture's head, unless the outputs show that the export has another."""
    if ZERO_SHOT in name:
        return None
    name = name.removesuffix("WithTeacher")
    task = next((task for head, task in TASK_OF_HEAD if name.endswith(head)), None)
    if task in OUTPUT_OF_TASK and outputs & FEATURES and not outputs & OUTPUT_OF_TASK[task]:
        return "image-feature-extraction"
    if task == "image-feature-extraction" and not outputs & FEATURES:
        return None
    return task


def _activation(config: ModelConfig, model: Interface) -> Activation:
    """What makes scores of a classifier's logits: a regression's number stays as it is, and a single logit, which
    has nothing that a softmax could compare it with, gets a sigmoid, as in transformers' pipeline."""
    logits = next((output for output in model.outputs if output.name == "logits"), None)
    count = logits.shape[-1] if logits is not None and logits.shape else None
    single = count == 1 if isinstance(count, int) else len(config.id2label or ()) == 1
    usual: Activation = "sigmoid" if single else "softmax"
    return ACTIVATION_OF_PROBLEM.get(config.problem_type, usual)


def _detector(model_type: str) -> Facts:
    facts: Facts = {"boxes": "cxcywh", "units": "normalised", "nms": "none", "threshold": 0.5}
    if model_type in SOFTMAX_DETECTORS:
        return facts | {"activation": "softmax", "background": "last"}
    return facts | ({"activation": "sigmoid", "background": "none"} if model_type else {})
