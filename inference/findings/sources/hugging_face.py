"""A Hugging Face export's `config.json`: what the model is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.findings.sources import CONFIG, Claims
from inference.findings.sources.text_files import Document, read_json
from inference.model_toml import TaskName
from inference.spec import Interface

TASK_OF_HEAD: tuple[tuple[str, TaskName], ...] = (
    ("ForImageClassification", "image-classification"), ("ForObjectDetection", "object-detection"),
    ("ForSemanticSegmentation", "image-segmentation"), ("ForImageSuperResolution", "image-to-image"),
    ("ForImageToImage", "image-to-image"), ("ModelWithProjection", "image-feature-extraction"),
    ("Model", "image-feature-extraction"), ("Backbone", "image-feature-extraction"),
)
# The output that a head has, by the names of the ONNX exporter; an export may leave the head away.
OUTPUT_OF_TASK = {"image-classification": {"logits"}, "object-detection": {"pred_boxes"},
                  "image-segmentation": {"logits"}, "image-to-image": {"reconstruction"}}
FEATURES = {"last_hidden_state", "pooler_output", "image_embeds"}
SOFTMAX_DETECTORS = ("detr", "yolos", "table-transformer", "conditional_yolos")  # their last class means "nothing"
Facts = dict[str, Any]


class ModelConfig(Document):
    """`config.json`"""

    architectures: tuple[str, ...] = ()
    model_type: str = ""
    id2label: dict[int, str] | None = None
    problem_type: str = ""


def claims(folder: Path, model: Interface) -> Claims | None:
    """Task, labels and what the scores are; None where the file is absent or another library's.

    Raises:
        ModelNotUsable: the file is damaged.
    """
    config = read_json(ModelConfig, folder / CONFIG)
    if config is None or not (config.architectures or config.model_type):
        return None
    facts: Facts = {"labels": _labels(config.id2label)} if config.id2label else {}
    task = _task(config, {output.name for output in model.outputs})
    facts |= {"task": task} if task else {}
    if task == "image-classification":
        multi = config.problem_type == "multi_label_classification"
        facts["activation"] = "sigmoid" if multi else "softmax"
    if task == "object-detection":
        facts |= _detector(config.model_type)
    return Claims(CONFIG, facts)


def _labels(id2label: Mapping[int, str]) -> tuple[str, ...]:
    """By number; a number that is left out (COCO has some) gets itself as its name."""
    count = max(id2label) + 1
    if count > 2 * len(id2label) + 100:
        return tuple(id2label[number] for number in sorted(id2label))
    return tuple(id2label.get(number, str(number)) for number in range(count))


def _task(config: ModelConfig, outputs: set[str]) -> TaskName | None:
    """By the architecture's head, unless the outputs show that the export has another."""
    name = config.architectures[0] if config.architectures else ""
    name = name.removesuffix("WithTeacher")
    task = next((task for head, task in TASK_OF_HEAD if name.endswith(head)), None)
    if task in OUTPUT_OF_TASK and outputs & FEATURES and not outputs & OUTPUT_OF_TASK[task]:
        return "image-feature-extraction"
    if task == "image-feature-extraction" and not outputs & FEATURES:
        return None
    return task


def _detector(model_type: str) -> Facts:
    facts: Facts = {"boxes": "cxcywh", "units": "normalised", "nms": "none", "threshold": 0.5}
    if model_type in SOFTMAX_DETECTORS:
        return facts | {"activation": "softmax", "background": "last"}
    return facts | ({"activation": "sigmoid", "background": "none"} if model_type else {})
