"""What Hugging Face's config.json says of a model's head."""

from pathlib import Path
from typing import Any

import pytest

from inference.errors import ModelNotUsable
from inference.findings.sources import CONFIG
from tests.unit.findings_helpers import Shape, found, source_of

IMAGE: dict[str, Shape] = {"pixel_values": (1, 3, 32, 32)}
VALUES = "[input]\nmean = 0\nstd = 1"


def config(head: str, **more: Any) -> dict[str, Any]:
    return {"config.json": {"architectures": [head], "model_type": "vit", **more}}


@pytest.mark.parametrize(("problem", "labels", "activation"), [
    (None, 1, "sigmoid"), (None, 3, "softmax"), ("regression", 1, "none"), ("regression", 3, "none"),
    ("multi_label_classification", 1, "sigmoid"), ("multi_label_classification", 3, "sigmoid"),
    ("single_label_classification", 3, "softmax")])
def test_the_problem_says_what_the_scores_are(tmp_path: Path, problem: str | None, labels: int,
                                              activation: str) -> None:
    names = {str(number): f"label {number}" for number in range(labels)}
    files = config("ViTForImageClassification", id2label=names, problem_type=problem)
    spec = found(tmp_path, {"logits": (1, labels)}, IMAGE, VALUES, files=files)
    assert (spec.task, spec.labels) == ("image-classification", tuple(names.values()))
    assert (spec.output.activation, source_of(spec, "activation")) == (activation, CONFIG)


def test_a_single_logit_gets_a_sigmoid_where_the_config_has_no_labels(tmp_path: Path) -> None:
    spec = found(tmp_path, {"logits": ("batch", 1)}, IMAGE, VALUES, files=config("ViTForImageClassification"))
    assert (spec.output.activation, spec.labels) == ("sigmoid", ("0",))


def test_another_number_of_labels_than_of_logits_is_a_reason(tmp_path: Path) -> None:
    files = config("ViTForImageClassification", id2label={"0": "a", "1": "b"})
    with pytest.raises(ModelNotUsable, match="2 labels for 5 classes"):
        found(tmp_path, {"logits": (1, 5)}, IMAGE, VALUES, files=files)


@pytest.mark.parametrize(("head", "outputs", "task"), [
    ("DPTForDepthEstimation", {"predicted_depth": (1, 32, 32)}, "depth-estimation"),
    ("ZoeDepthForDepthEstimation", {"predicted_depth": (1, 32, 32), "domain_logits": (1, 2)}, "depth-estimation"),
    ("Dinov2Model", {"last_hidden_state": (1, 5, 8)}, "image-feature-extraction"),
    ("DPTForDepthEstimation", {"last_hidden_state": (1, 5, 8)}, "image-feature-extraction"),
])
def test_the_head_names_the_task(tmp_path: Path, head: str, outputs: dict[str, Shape], task: str) -> None:
    assert found(tmp_path, outputs, IMAGE, VALUES, files=config(head)).task == task


@pytest.mark.parametrize(("problem", "labels", "activation"), [
    ("regression", 1, "none"), (None, 1, "sigmoid"), ("multi_label_classification", 3, "sigmoid")])
def test_what_transformers_exporter_writes_names_the_head(tmp_path: Path, problem: str | None, labels: int,
                                                         activation: str) -> None:
    """The config.json of a model that was never saved by itself has no architectures."""
    metadata = {"architecture": "ViTForImageClassification"}
    export = {"components": {"model": {"file": "model.onnx", "metadata": metadata}}}
    files = {"config.json": {"model_type": "vit", "problem_type": problem}, "export.json": export}
    spec = found(tmp_path, {"logits": ("batch", labels)}, IMAGE, VALUES, files=files)
    assert (spec.task, source_of(spec, "task")) == ("image-classification", CONFIG)
    assert spec.output.activation == activation


def test_a_zero_shot_head_names_none(tmp_path: Path) -> None:
    spec = found(tmp_path, {"logits": (1, 7)}, IMAGE, VALUES, files=config("SomeForZeroShotObjectDetection"))
    assert source_of(spec, "task") != CONFIG
