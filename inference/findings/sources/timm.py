"""timm's `config.json`: an architecture, its classes, and how its images were evaluated."""

import math
from pathlib import Path
from typing import Any, get_args

from inference.findings.sources import CONFIG, Claims
from inference.findings.sources.text_files import Document, read_json
from inference.model_toml import Resample
from inference.spec import Size

DEFAULT_CROP_PCT = 0.875
Facts = dict[str, Any]
Labels = list[str] | dict[int, str]


class Evaluation(Document):
    """`pretrained_cfg`; what is left out has timm's own default."""

    input_size: tuple[int, int, int] | None = None  # channels, height, width
    interpolation: str = "bicubic"
    crop_pct: float = DEFAULT_CROP_PCT
    crop_mode: str = "center"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    num_classes: int | None = None
    label_names: Labels | None = None
    label_descriptions: dict[str, str] | None = None


class TimmConfig(Document):
    """`config.json`"""

    architecture: str = ""
    num_classes: int | None = None
    label_names: Labels | None = None
    label_descriptions: dict[str, str] | None = None
    pretrained_cfg: Evaluation | None = None


def claims(folder: Path) -> Claims | None:
    """What the file says; None where it is absent or another library's.

    Raises:
        ModelNotUsable: the file is damaged.
    """
    config = read_json(TimmConfig, folder / CONFIG)
    if config is None or not config.architecture:
        return None
    evaluation = config.pretrained_cfg or Evaluation()
    facts: Facts = {"layout": "NCHW", "scale": 1 / 255, "mean": evaluation.mean, "std": evaluation.std,
                    **_geometry(evaluation), **_meaning(config, evaluation)}
    if evaluation.interpolation in get_args(Resample):
        facts["resample"] = evaluation.interpolation
    return Claims(CONFIG, facts)


def _meaning(config: TimmConfig, evaluation: Evaluation) -> Facts:
    classes = config.num_classes if config.num_classes is not None else evaluation.num_classes
    if classes == 0:
        return {"task": "image-feature-extraction"}
    labels = config.label_names or evaluation.label_names or []
    labels = [labels[number] for number in sorted(labels)] if isinstance(labels, dict) else labels
    described = config.label_descriptions or evaluation.label_descriptions or {}
    facts: Facts = {"task": "image-classification", "activation": "softmax"}
    return facts | ({"labels": tuple(described.get(name, name) for name in labels)} if labels else {})


def _geometry(evaluation: Evaluation) -> Facts:
    """The image is made larger by 1 / crop_pct, then its middle is cut out; "border" keeps all of it."""
    if evaluation.input_size is None or evaluation.crop_pct <= 0:
        return {}
    _, height, width = evaluation.input_size
    size: Size = (width, height)
    larger = math.floor(min(size) / evaluation.crop_pct)
    if evaluation.crop_mode == "squash":
        return {"resize": "stretch", "size": size, "shortest_edge": larger if larger > min(size) else None}
    if evaluation.crop_mode == "border":
        fill = tuple(float(round(255 * value)) for value in (evaluation.mean * 3)[:3])
        return {"resize": "letterbox", "size": size, "anchor": "center", "fill": fill}
    return {"resize": "crop", "size": size, "shortest_edge": larger}
