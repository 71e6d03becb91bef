"""object-detection: labelled boxes in pixels of the image, upright or turned."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.boxes import oriented
from inference.boxes.encodings import decode, sound
from inference.boxes.merging import Views, are_cut, group, turned_around
from inference.boxes.nms import suppress
from inference.boxes.placing import to_image
from inference.boxes.rows import Rows, find_rows
from inference.geometry import Placement
from inference.parameters import MAX_BOXES, MAX_MERGED, DetectionParameters
from inference.spec import ModelSpec, OutputSpec, Size
from inference.tasks.classification import SCORE_DIGITS, activate
from inference.tiling import Tiles

NAME = "object-detection"
BOX_DIGITS = 2
MAX_CANDIDATES = 30_000  # as Ultralytics (max_nms): bounds the time of the suppression when the threshold is near 0
Indices = NDArray[np.intp]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Detections:
    """`boxes` (n, 4) xyxy in pixels of the image, `scores` (n,), `classes` (n,) as indices of labels; best first.

    `turned` (n, 5) are the boxes of an oriented detector, as `oriented.py` has them; `boxes` are those around them.
    """

    boxes: Floats
    scores: Floats
    classes: Indices
    turned: Floats | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def of(self, rows: Indices) -> "Detections":
        turned = None if self.turned is None else self.turned[rows]
        return Detections(self.boxes[rows], self.scores[rows], self.classes[rows], turned)


def read(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Detections:
    """The outputs of one image, in any layout that `spec.output` tells -> its detections.

    Raises:
        ValueError: the outputs do not fit `spec`; the text names the key of model.toml to set.
    """
    rows = find_rows(outputs, spec, placement.input_size)
    return choose(rows, spec, placement, cast(DetectionParameters, parameters))[0]


def result(value: Detections, spec: ModelSpec, image_size: Size, parameters: BaseModel) -> dict:
    """The best boxes, best first."""
    top_k = cast(DetectionParameters, parameters).top_k
    return {"task": NAME, "predictions": [prediction(value, row, spec) for row in range(len(value))[:top_k]]}


def merge(values: Iterable[tuple[Placement, Detections]], tiles: Tiles, spec: ModelSpec,
          parameters: BaseModel) -> Detections:
    """The detections of tiles that overlap -> those of the image: each object once, also where a rim cuts it."""
    return merge_tiles(list(values), spec, cast(DetectionParameters, parameters))[0]


def prediction(value: Detections, row: int, spec: ModelSpec) -> dict:
    """One detection in the contract's form."""
    box = (round(float(side), BOX_DIGITS) for side in value.boxes[row])
    told = {"label": _label(value.classes[row], spec), "score": round(float(value.scores[row]), SCORE_DIGITS),
            "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))}
    return told if value.turned is None else told | _turned(value.turned[row:row + 1])


def _turned(box: Floats) -> dict:
    """The corners of a turned box (1, 5), and the angle of its width in degrees, clockwise."""
    points = np.round(oriented.corners(box)[0], BOX_DIGITS).tolist()
    return {"polygon": [{"x": x, "y": y} for x, y in points],
            "angle": round(float(np.degrees(box[0, 4])), BOX_DIGITS)}


def _label(number: np.intp, spec: ModelSpec) -> str:
    """A class's label; its number as the model counts where nobody gave labels."""
    return spec.labels[number] if spec.labels else str(number + (spec.output.background == "first"))


def choose(rows: Rows, spec: ModelSpec, placement: Placement,
           wanted: DetectionParameters) -> tuple[Detections, Indices]:
    """The detections among a model's rows, and which row each was.

    Boxes are decoded after the threshold, suppressed as the model gave them and only then cut off at the image's rim,
    in the order of Ultralytics' predict.
    """
    rows_seen, scores, classes = _chosen(rows, spec, _or(wanted.threshold, spec.output.threshold))
    boxes = decode(rows.boxes, rows_seen, spec.output, placement.input_size)
    found = Detections(boxes, scores, classes, _angled(boxes, rows, rows_seen, spec.output))
    usable = np.flatnonzero(sound(boxes) & (found.classes >= 0))
    kept = usable[_suppressed(found.of(usable), spec.output, wanted)]
    placed = _placed(found.of(kept), placement)
    visible = np.flatnonzero(sound(placed.boxes))  # a box in the filled part of the input has no area in the image
    return placed.of(visible), rows_seen[kept][visible]


def merge_tiles(values: list[tuple[Placement, Detections]], spec: ModelSpec,
                wanted: DetectionParameters) -> tuple[Detections, list[Indices]]:
    """The image's detections, and for each the rows of all tiles' detections, one after the other, that it is."""
    found = _concatenated([detections for _, detections in values])
    views = _views(values, found, spec)
    groups = group(views, _or(wanted.iou, spec.output.iou), wanted.top_k or MAX_MERGED)
    best = np.array([rows[np.argmax(found.scores[rows])] for rows in groups], np.intp)
    boxes = np.array([views.around(rows) for rows in groups]).reshape(-1, 4)
    turned = None if found.turned is None else turned_around(found.turned, found.scores, groups)
    return replace(found.of(best), boxes=boxes, turned=turned), groups


def _chosen(rows: Rows, spec: ModelSpec, threshold: float) -> tuple[Indices, Floats, Indices]:
    """The rows of at least `threshold`, their scores and classes. A query with a sigmoid for each class may be several
    of them, and no more are told than there are queries, as in the post-processing of RT-DETR and D-FINE."""
    output = spec.output
    if rows.classes is None and rows.objectness is None and (output.nms, output.activation) == ("none", "sigmoid"):
        labelled = _labelled(rows.scores, rows, output)
        pairs, scores = candidates(Rows(rows.boxes, labelled.reshape(-1, 1)), replace(output, background="none"),
                                   threshold)
        best = np.sort(np.argsort(-scores, kind="stable")[:len(rows.boxes)])
        pairs, scores = pairs[best], scores[best]
        return pairs // labelled.shape[1], scores, pairs % labelled.shape[1]
    rows_seen, scores = candidates(rows, output, threshold)
    return rows_seen, scores, _classes(rows, rows_seen, spec)


def candidates(rows: Rows, output: OutputSpec, threshold: float) -> tuple[Indices, Floats]:
    """The rows of at least `threshold` and their scores, the best if they are too many.

    Rows of score 0 are padding, also for threshold 0.
    """
    likely, scores = _scored(rows, output, threshold)
    enough = np.flatnonzero((scores >= threshold) & (scores > 0))
    if len(enough) > MAX_CANDIDATES:
        enough = np.sort(enough[np.argpartition(-scores[enough], MAX_CANDIDATES)[:MAX_CANDIDATES]])
    return likely[enough], scores[enough]


def _scored(rows: Rows, output: OutputSpec, threshold: float) -> tuple[Indices, Floats]:
    """The rows that may reach `threshold` (m,) and the score (m,) of each one's best label."""
    if rows.objectness is None:
        return np.arange(len(rows.scores)), _best_of(rows.scores, rows, output)
    objectness = rows.objectness.astype(np.float64)
    if output.activation == "sigmoid":
        objectness = activate(objectness, "sigmoid")
    least = threshold ** 2 if output.combined == "root" else threshold
    likely = np.flatnonzero(objectness >= least)  # a class's score is at most 1
    products = objectness[likely] * _best_of(rows.scores[likely], rows, output)
    return likely, np.sqrt(np.maximum(products, 0)) if output.combined == "root" else products


def _best_of(scores: NDArray, rows: Rows, output: OutputSpec) -> Floats:
    """(m,) score of the best label in each of (m, c). Only that one is activated: activations keep the order."""
    top = _labelled(scores, rows, output).max(axis=1).astype(np.float64)
    return _softmax_of(top, scores) if output.activation == "softmax" else activate(top, output.activation)


def _softmax_of(top: Floats, logits: NDArray) -> Floats:
    """(m,) what softmax over a row of logits (m, c) makes of its logit `top` (m,)."""
    highest = logits.max(axis=1, keepdims=True)
    return np.exp(top - highest[:, 0]) / np.exp(logits - highest).sum(axis=1, dtype=np.float64)


def _labelled(scores: NDArray, rows: Rows, output: OutputSpec) -> NDArray:
    """The scores (m, c) without the background's column."""
    if rows.classes is not None or output.background == "none":
        return scores
    return scores[:, 1:] if output.background == "first" else scores[:, :-1]


def _classes(rows: Rows, chosen: Indices, spec: ModelSpec) -> Indices:
    """(m,) each chosen row's label as an index, -1 for the background.

    Raises:
        ValueError: a row names a class for which there is no label.
    """
    if rows.classes is None:
        return _labelled(rows.scores[chosen], rows, spec.output).argmax(axis=1)
    classes = np.nan_to_num(rows.classes[chosen], nan=-1).astype(np.intp) - (spec.output.background == "first")
    if spec.output.background == "last" and spec.labels:
        classes[classes == len(spec.labels)] = -1
    if spec.labels and classes.max(initial=-1) >= len(spec.labels):
        raise ValueError(f"a row is of class {classes.max()}, counted from 0, but there are {len(spec.labels)} labels: "
                         "set labels, or [output] background, in model.toml")
    return classes


def _suppressed(found: Detections, output: OutputSpec, wanted: DetectionParameters) -> Indices:
    """The rows that stay, best first."""
    if output.nms == "none":
        return np.argsort(-found.scores, kind="stable")[: wanted.top_k or MAX_BOXES]
    classes = found.classes if output.nms == "per-class" else None
    if found.turned is not None:
        return oriented.suppress(found.turned, found.scores, classes, _or(wanted.iou, output.iou),
                                 wanted.top_k or MAX_BOXES)
    return suppress(found.boxes, found.scores, classes, _or(wanted.iou, output.iou), limit=wanted.top_k or MAX_BOXES)


def _angled(boxes: Floats, rows: Rows, chosen: Indices, output: OutputSpec) -> Floats | None:
    """The chosen rows' boxes with the angles that end these rows, of an oriented detector."""
    if not output.oriented or rows.extra is None:
        return None
    return oriented.turned(boxes, rows.extra[chosen, -1])


def _placed(found: Detections, placement: Placement) -> Detections:
    """Detections in pixels of the input -> the same in pixels of the image."""
    if found.turned is None:
        return replace(found, boxes=to_image(placement, found.boxes))
    turned, (width, height) = oriented.to_image(placement, found.turned), placement.image_size
    return replace(found, boxes=np.clip(oriented.upright(turned), 0, (width, height, width, height)), turned=turned)


def _or(wanted: float | None, own: float) -> float:
    """What a caller wants, else the model's own value."""
    return own if wanted is None else wanted


def _views(values: list[tuple[Placement, Detections]], found: Detections, spec: ModelSpec) -> Views:
    counts = [len(detections) for _, detections in values]
    windows = np.array([placement.source for placement, _ in values], np.float64).reshape(-1, 4)
    cut = [are_cut(detections.boxes, placement) for placement, detections in values]
    classes = np.zeros_like(found.classes) if spec.output.nms == "all" else found.classes
    return Views(found.boxes, found.scores, classes, np.repeat(np.arange(len(values)), counts),
                 np.repeat(windows, counts, axis=0), np.concatenate(cut) if cut else np.empty(0, bool), found.turned)


def _concatenated(parts: list[Detections]) -> Detections:
    """The detections of all tiles, one after the other."""
    nothing = Detections(np.empty((0, 4)), np.empty(0), np.empty(0, np.intp))
    whole, turned = [nothing, *parts], [part.turned for part in parts if part.turned is not None]
    return Detections(np.concatenate([part.boxes for part in whole]), np.concatenate([part.scores for part in whole]),
                      np.concatenate([part.classes for part in whole]), np.concatenate(turned) if turned else None)
