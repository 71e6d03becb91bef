"""image-classification: one score per label, or the only label that a model tells, with the score 1; of a tiled image
also the best label of each tile, as a map."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.geometry import Placement
from inference.model_toml import Activation
from inference.parameters import MAX_CLASSES, ClassificationParameters
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
    """Scores (classes,) of an image, and of a tiled one the best label of each tile, row by row. What tells a class by
    its number, without labels, has a score for each number up to that."""

    scores: Scores
    tiles: tuple[TileLabel, ...] = ()


def read(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Classified:
    """The output named "scores", else the first, (1, classes) or with further axes of 1, or the one that maps labels to
    scores, or the one that tells classes by number -> scores.

    Raises:
        ValueError: there are not as many scores as labels, or a score is no number.
    """
    if "classes" in spec.output.names:
        return Classified(_by_number(outputs, spec))
    mapped = next(((name, values) for name, values in outputs.items() if _is_map(values)), None)
    name, values = mapped or _scores(outputs, spec)
    black, white = spec.output.range
    logits = (_in_order(name, values.flat[0], spec.labels) if mapped
              else (values.reshape(-1).astype(np.float64) - black) / (white - black))
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
    best = best[value.scores[best] > 0] if "classes" in spec.output.names else best  # of others nothing is told
    predictions = [_told(spec, index, value.scores[index]) for index in best
                   if wanted.threshold == 0 or value.scores[index] >= wanted.threshold]  # a regression may be below 0
    tiles = [{"box": dict(zip(BOX_KEYS, tile.box, strict=True)), **_told(spec, tile.label, tile.score)}
             for tile in value.tiles]
    return {"task": NAME, "predictions": predictions} | ({"tiles": tiles} if tiles else {})


def merge(values: Iterable[tuple[Placement, Classified]], tiles: Tiles, spec: ModelSpec,
          parameters: BaseModel) -> Classified:
    """The tiles' values, row by row -> the mean of their scores, weighted by the tiles' areas, and their map."""
    total, area, found = np.zeros(len(spec.labels)), 0, []
    for (_, value), box in zip(values, tiles.boxes(), strict=True):
        pixels = (box[2] - box[0]) * (box[3] - box[1])
        total, area = _sum(total, value.scores * pixels), area + pixels
        best = int(value.scores.argmax())
        found.append(TileLabel(box, best, float(value.scores[best])))
    return Classified(total / area, tuple(found))


def _sum(some: Scores, others: Scores) -> Scores:
    """Of scores of classes 0 to n, of which the longer ones know more."""
    shorter, longer = sorted((some, others), key=len)
    return longer + np.pad(shorter, (0, len(longer) - len(shorter)))


def _scores(outputs: Mapping[str, NDArray], spec: ModelSpec) -> tuple[str, NDArray]:
    name = spec.output.names.get("scores") or next(iter(outputs))
    return name, outputs[name]


def _by_number(outputs: Mapping[str, NDArray], spec: ModelSpec) -> Scores:
    """One class by its number, with the score 1; or the numbers of the best classes, with the scores beside them."""
    name = spec.output.names["classes"]
    numbers = outputs[name].reshape(-1).astype(np.int64)
    known = len(spec.labels) or MAX_CLASSES
    if not len(numbers) or numbers.min() < 0 or numbers.max() >= known:
        raise ValueError(f"output '{name}' tells class {numbers.tolist()[:5]}, expected one of 0 to {known - 1}: "
                         "set labels in model.toml, one a class, in their order")
    beside = spec.output.names.get("scores")
    given = np.ones(len(numbers)) if beside is None else outputs[beside].reshape(-1).astype(np.float64)
    scores = np.zeros(len(spec.labels) or int(numbers.max()) + 1)
    scores[numbers] = given
    return scores


def _is_map(values: NDArray) -> bool:
    """Whether an output is an array of dicts: what ZipMap makes."""
    return values.dtype == object and values.size > 0 and isinstance(values.flat[0], dict)


def _in_order(name: str, row: dict, labels: tuple[str, ...]) -> Scores:
    """The scores of a map by labels, or by their numbers, in the labels' order."""
    keys = range(len(labels)) if all(isinstance(key, int) for key in row) else labels
    if row.keys() != set(keys):
        raise ValueError(f"output '{name}' has scores for {', '.join(map(str, row))} and the labels are "
                         f"{', '.join(labels)}: write the model's labels, one a line, into labels.txt")
    return np.array([row[key] for key in keys], np.float64)


def _told(spec: ModelSpec, index: int, score: float) -> dict:
    label = spec.labels[index] if spec.labels else str(index)
    return {"label": label, "score": round(float(score), SCORE_DIGITS)}


def activate(values: Scores, activation: Activation) -> Scores:
    """Logits (classes,) -> scores in 0..1; `none` for a model that gives scores already."""
    if activation == "softmax":
        powers = np.exp(values - values.max())
        return powers / powers.sum()
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(0, -values))  # 1 / (1 + e^-x) without its overflow
    return values
