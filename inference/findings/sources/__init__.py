"""What a model's files claim about it. One file per kind of export; each gives `Claims` or None.

The facts' names are the keys of model.toml, without their table: "task", "labels", "size", "mean", "columns", …;
values are those of `InputSpec` and `OutputSpec`. To add an exporter, copy `timm.py` and enter it in `findings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LABELS_TXT = "labels.txt"
ULTRALYTICS = "Ultralytics metadata"
IMAGE_METADATA = "image metadata"
PREPROCESSOR_CONFIG = "preprocessor_config.json"
PROCESSOR_CONFIG = "processor_config.json"
CONFIG = "config.json"
EXPORT_JSON = "export.json"
ONNX_SHAPES = "ONNX shapes"
GRAPH = "graph"
TEST_IMAGE = "test image"
DEFAULT = "default"
HOOKS_PY = "hooks.py"
IMAGENET: Mapping[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True)
class Claims:
    """Facts that one file states. `source` names it for people: "config.json", "Ultralytics metadata"."""

    source: str
    facts: Mapping[str, Any]
