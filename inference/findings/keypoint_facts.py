"""Decides what a model's keypoints are: how many, of which numbers, and their names."""

from collections.abc import Mapping
from typing import Any

from inference.errors import ModelNotUsable
from inference.findings.facts import Candidate, Facts
from inference.findings.sources import DEFAULT, ONNX_SHAPES
from inference.findings.sources.seen import Seen
from inference.model_toml import MODEL_TOML
from inference.skeleton import COCO_KEYPOINTS
from inference.spec import OutputSpec

KEYPOINTS_ADVICE = ("add keypoints = [17, 3] (how many a row has, and of how many numbers each is) below [output] in "
                    "model.toml, or keypoints = \"…\" below [output.names] where they are an output of their own")
COCO = "17 keypoints are COCO's"
NUMBERED = "numbered"
PERSON, OBJECT = "person", "object"  # what a model without classes tells


def keypoint_output(facts: Facts, names: Mapping[str, str], seen: Seen) -> dict[str, Any]:
    """Raises ModelNotUsable where their number is not known, or is not that of their names."""
    count = _count(facts, names, seen)
    found: dict[str, Any] = {"keypoints": count}
    if "heatmaps" in names:
        found["threshold"] = facts.decide("threshold", (DEFAULT, 0.0))
    if count is not None:
        found["keypoint_labels"] = _labels(facts, count[0], named_as_classes="heatmaps" in names)
    return found


def label_of_image(facts: Facts, output: OutputSpec) -> tuple[str, ...]:
    """The label of the one object that heat maps tell of; a file's labels are then those of the keypoints."""
    written = [(source, labels) for source, labels in facts.known("labels") if source == MODEL_TOML or len(labels) == 1]
    usual = PERSON if len(output.keypoint_labels) == len(COCO_KEYPOINTS) else OBJECT
    labels: tuple[str, ...] = facts.pick("labels", *written, (DEFAULT, (usual,)))
    if len(labels) != 1:
        raise ModelNotUsable(f"model.toml, labels: {len(labels)} for one object: write one there, and the keypoints' "
                             "names as keypoint_labels below [output]")
    return labels


def _count(facts: Facts, names: Mapping[str, str], seen: Seen) -> tuple[int, int] | None:
    """How many keypoints, and the numbers of each; None where an output of their own leaves it open."""
    own = names.get("heatmaps") or names.get("keypoints")
    if own is None:
        count, numbers = facts.decide("keypoints", advice=KEYPOINTS_ADVICE, stand_in=(17, 3))
        return count, numbers
    shape = seen.outputs[own].shape
    if "keypoints" in names and isinstance(shape[-1], int) and shape[-1] not in (2, 3):
        pairs = shape[-1] // 2 if shape[-1] % 2 == 0 and shape[-1] % 3 else None  # no number more for a score
        told = facts.decide("keypoints", (ONNX_SHAPES, pairs and (pairs, 2)), advice=KEYPOINTS_ADVICE, stand_in=(5, 2))
        return told[0], told[1]
    side = shape[1] if "heatmaps" in names else shape[-2] if len(shape) > 1 else None
    last = shape[-1] if "keypoints" in names and shape[-1] in (2, 3) else 2
    seen_here: Candidate = (ONNX_SHAPES, (side, last) if isinstance(side, int) else None)
    known = [*facts.known("keypoints"), seen_here]
    return facts.pick("keypoints", *known) if any(value for _, value in known) else None


def _labels(facts: Facts, count: int, named_as_classes: bool) -> tuple[str, ...]:
    """Their names, COCO's for 17 where nobody says otherwise. Files of ViTPose give them as labels."""
    classes = [claim for claim in facts.known("labels") if named_as_classes and len(claim[1]) == count]
    usual = [(COCO, COCO_KEYPOINTS if count == len(COCO_KEYPOINTS) else None),
             (NUMBERED, tuple(map(str, range(count))))]
    labels = tuple(facts.decide("keypoint_labels", *classes, *usual))
    if len(labels) != count:
        raise ModelNotUsable(f"{facts.source_of('keypoint_labels')}, output.keypoint_labels: {len(labels)} names for "
                             f"{count} keypoints: write exactly one a keypoint, or remove them")
    return labels
