"""image-segmentation by queries (MaskFormer, Mask2Former, EoMT, DETR's panoptic head): each segment has a label, a mask
and a score, and no pixel belongs to two of them.

Which segments there are is decided as by `post_process_panoptic_segmentation` of Hugging Face's transformers with its
own thresholds, after Mask2Former, https://arxiv.org/abs/2112.01527. Two things differ: a pixel that lies in no mask
belongs to no segment, as in that paper's code, and counts for none; and a query less sure than 0.5, of which
transformers keeps nothing, claims its whole mask.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.geometry import Placement
from inference.grids import Grid, Scores, blocks, on_grid, plane, window
from inference.masks import encode_mask
from inference.parameters import MaskQueryParameters
from inference.segments import number_type
from inference.spec import ModelSpec, Size
from inference.tasks.segmentation import NAME, SCORE_DIGITS, activate

MASK_THRESHOLD = 0.5  # of a mask's sigmoid; for what a query claims it is weighed by the query's score
LEAST_LEFT = 0.8  # of what a query claims has to be left to it by the others (overlap_mask_area_threshold)
NO_SMALLER = np.float32(-80)  # a logit; e^80 is still a float32


@dataclass(frozen=True)
class Queries:
    """The n queries that see something: the logits of their masks (n, h, w), as coarse as the model gave them, their
    classes (n,) as indices of labels, and their scores (n,)."""

    masks: Grid
    classes: NDArray[np.intp]
    scores: Scores


@dataclass(frozen=True)
class _Contest:
    """A piece of the image: the likeliest query of each pixel (height, width), whether the pixel lies in that query's
    mask, and how many pixels each query claims (n,)."""

    winners: NDArray[np.intp]
    inside: NDArray[np.bool_]
    claimed: NDArray[np.intp]


def read(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Queries:
    """Classes [1, n, classes] and masks [1, n, h, w] -> the queries whose likeliest class is a label's, and likely.

    Raises:
        ValueError: the outputs do not fit `spec`; the text names the key of model.toml to set.
    """
    logits, masks = _outputs(outputs, spec)
    classes, scores = _best(logits, spec)
    asked = cast(MaskQueryParameters, parameters).threshold
    found = np.flatnonzero((classes >= 0) & (scores >= (spec.output.threshold if asked is None else asked)))
    shown = np.ascontiguousarray(masks[found], np.float32)
    return Queries(on_grid(shown, placement), classes[found], scores[found])


def result(value: Queries, spec: ModelSpec, image_size: Size, parameters: BaseModel) -> dict:
    """The segments, best first; their masks are as large as the image and do not overlap."""
    numbers, stays = _shared_out(value)
    rows = [row for row in np.argsort(-value.scores, kind="stable").tolist() if stays[row]]
    predictions = [{"label": spec.labels[value.classes[row]], "score": round(float(value.scores[row]), SCORE_DIGITS),
                    "mask": encode_mask(numbers == row + 1)} for row in rows]
    return {"task": NAME, "predictions": predictions}


def _outputs(outputs: Mapping[str, NDArray], spec: ModelSpec) -> tuple[NDArray, NDArray]:
    """(n, classes) and (n, h, w) of one image."""
    names = [spec.output.names.get(role, "") for role in ("queries", "masks")]
    queries, masks = (outputs.get(name, np.empty(0)) for name in names)
    classes = len(spec.labels) + (spec.output.background != "none")
    if queries.shape[2:] != (classes,) or masks.ndim != 4 or queries.shape[:2] != masks.shape[:2] or len(masks) != 1:
        raise ValueError(f"the outputs '{names[0]}' {list(queries.shape)} and '{names[1]}' {list(masks.shape)} should "
                         f"be [1, queries, {classes}] for {len(spec.labels)} labels and [1, queries, height, width]: "
                         "set labels, or queries and masks in [output.names], in model.toml")
    return queries[0], masks[0]


def _best(logits: NDArray, spec: ModelSpec) -> tuple[NDArray[np.intp], Scores]:
    """(n,) each query's likeliest class as an index of labels, -1 where it sees nothing; and how likely it is."""
    chances = activate(logits.T, spec.output.activation)
    if np.isnan(chances).any():
        raise ValueError("the scores are no numbers (NaN): its weights are damaged, or scale, mean or std are wrong")
    classes = chances.argmax(axis=0) - (spec.output.background == "first")
    classes[classes == len(spec.labels)] = -1
    return classes, chances.max(axis=0)


def _shared_out(value: Queries) -> tuple[NDArray[np.unsignedinteger], NDArray[np.bool_]]:
    """The query of each pixel plus 1, 0 for none, (height, width); and whether each query is a segment (n,)."""
    grid, count = value.masks, len(value.scores)
    numbers = np.zeros(grid.image_size[::-1], number_type(count))
    held, claimed = np.zeros((2, count), np.int64)
    for piece in blocks(grid.size) if count else ():
        contest = _contest(window(grid, piece), value.scores)
        left, top, right, bottom = (side + corner for side, corner in zip(piece, grid.source[:2] * 2, strict=True))
        numbers[top:bottom, left:right] = np.where(contest.inside, contest.winners + 1, 0)
        held += np.bincount(contest.winners[contest.inside], minlength=count)
        claimed += contest.claimed
    return numbers, (claimed > 0) & (held > LEAST_LEFT * claimed)


def _contest(grid: Grid, scores: Scores) -> _Contest:
    """Which query has each pixel of a piece of the image. Those whose mask is nowhere the likeliest, nor claims a
    pixel, are not looked at: every pixel lies between its cells' least and largest logit."""
    highest, lowest = (_sigmoid(edge(grid.values, axis=(1, 2))) * scores for edge in (np.max, np.min))
    size = grid.size[::-1]
    best, winners, inside = np.full(size, -1, np.float32), np.zeros(size, np.intp), np.zeros(size, np.bool_)
    claimed = np.zeros(len(scores), np.intp)
    levels = MASK_THRESHOLD * np.where(scores < MASK_THRESHOLD, scores, 1)
    for index in np.flatnonzero((highest >= lowest.max()) | (highest >= levels)).tolist():
        mask = _sigmoid(plane(grid, index))
        weighed = mask * scores[index]
        claimed[index] = np.count_nonzero(weighed >= levels[index])
        better = weighed > best
        winners[better], inside[better] = index, mask[better] >= MASK_THRESHOLD
        np.maximum(best, weighed, out=best)
    return _Contest(winners, inside, claimed)


def _sigmoid(logits: Scores) -> Scores:
    """With numpy's quick exponential: the careful one of `activate` takes many times as long on a large image."""
    return np.reciprocal(np.exp(-np.maximum(logits, NO_SMALLER)) + np.float32(1))
