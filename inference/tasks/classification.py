"""image-classification: one score per label; of a tiled image also the best label of each tile, as a map."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.geometry import Placement
from inference.model_toml import Activation
from inference.parameters import ClassificationParameters
from inference.spec import ModelSpec, Size
from inference.tiling import Tiles

NAME = "image-classification"
SCORE_DIGITS = 6
BOX_KEYS = ("xmin", "ymin", "xmax", "ymax")
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class TileLabel:
    """The best label (its index) of one tile; `box` is left, top, right, bottom in pixels of the image."""

    box: tuple[int, int, int, int]
    label: int
    score: float


@dataclass(frozen=True)
class Classified:
    """Scores (classes,) of an image, and of a tiled one the best label of each tile, row by row."""

    scores: Scores
    tiles: tuple[TileLabel, ...] = ()


def read(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Classified:
    """The first output, (1, classes) or with further axes of 1 -> scores.

    Raises:
        ValueError: there are not as many scores as labels, or a score is no number.
    """
    name, values = next(iter(outputs.items()))
    logits = values.reshape(-1).astype(np.float64)
    if len(logits) != len(spec.labels):
        raise ValueError(f"output '{name}' has {len(logits)} scores for {len(spec.labels)} labels: "
                         "set labels in model.toml")
    if np.isnan(logits).any():
        raise ValueError("the scores are no numbers (NaN): its weights are damaged, or scale, mean or std are wrong")
    return Classified(activate(logits, spec.output.activation))


def result(value: Classified, spec: ModelSpec, image_size: Size, parameters: BaseModel) -> dict:
    """The best labels, best first; of a tiled image with `tiles`, which `top_k` and `threshold` leave as they are."""
    wanted = cast(ClassificationParameters, parameters)
    best = np.argsort(-value.scores, kind="stable")[: wanted.top_k]
    predictions = [_told(spec, index, value.scores[index]) for index in best if value.scores[index] >= wanted.threshold]
    tiles = [{"box": dict(zip(BOX_KEYS, tile.box, strict=True)), **_told(spec, tile.label, tile.score)}
             for tile in value.tiles]
    return {"task": NAME, "predictions": predictions} | ({"tiles": tiles} if tiles else {})


def merge(values: Iterable[tuple[Placement, Classified]], tiles: Tiles, spec: ModelSpec,
          parameters: BaseModel) -> Classified:
    """The tiles' values, row by row -> the mean of their scores, weighted by the tiles' areas, and their map."""
    total, area, found = np.zeros(len(spec.labels)), 0, []
    for (_, value), box in zip(values, tiles.boxes(), strict=True):
        pixels = (box[2] - box[0]) * (box[3] - box[1])
        total, area = total + value.scores * pixels, area + pixels
        best = int(value.scores.argmax())
        found.append(TileLabel(box, best, float(value.scores[best])))
    return Classified(total / area, tuple(found))


def _told(spec: ModelSpec, index: int, score: float) -> dict:
    return {"label": spec.labels[index], "score": round(float(score), SCORE_DIGITS)}


def activate(values: Scores, activation: Activation) -> Scores:
    """Logits (classes,) -> scores in 0..1; `none` for a model that gives scores already."""
    if activation == "softmax":
        powers = np.exp(values - values.max())
        return powers / powers.sum()
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(0, -values))  # 1 / (1 + e^-x) without its overflow
    return values
