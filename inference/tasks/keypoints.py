"""keypoint-detection: a detection's boxes, each with named points (Ultralytics' pose models, torchvision's Keypoint
R-CNN, YuNet and SCRFD); or one set of points of the whole image, from a heat map for each (ViTPose)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.boxes.encodings import ON_A_GRID, points_on_cells
from inference.boxes.placing import points_to_image
from inference.boxes.rows import Rows, find_rows, keypoint_numbers
from inference.boxes.stacks import stacked
from inference.geometry import Placement
from inference.heatmaps import peaks
from inference.parameters import DetectionParameters, HeatmapParameters
from inference.skeleton import COCO_KEYPOINTS
from inference.spec import ModelSpec, OutputSpec, Size
from inference.tasks.classification import SCORE_DIGITS, activate
from inference.tasks.detection import BOX_DIGITS, Detections, choose, merge_tiles, prediction
from inference.tiling import Tiles

NAME = "keypoint-detection"
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Poses:
    """Detections, and for each its k keypoints: `points` (n, k, 2) x and y in pixels of the image, and their `scores`
    (n, k), None where the model gives none."""

    detections: Detections
    points: Floats
    scores: Floats | None


def read(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Poses:
    """The outputs of one image -> its poses.

    Raises:
        ValueError: the outputs do not fit `spec`; the text names the key of model.toml to set.
    """
    if "heatmaps" in spec.output.names:
        return _of_heatmaps(outputs, spec, placement, cast(HeatmapParameters, parameters).threshold)
    laid = stacked(outputs, spec.output, placement.input_size)
    rows = find_rows(laid, spec, placement.input_size)
    detections, chosen = choose(rows, spec, placement, cast(DetectionParameters, parameters))
    points, scores = _chosen(laid, rows, chosen, spec.output)
    if spec.output.boxes in ON_A_GRID:
        points = points_on_cells(points, len(rows.boxes), chosen, spec.output, placement.input_size)
    if spec.output.units == "normalised":
        points = points * placement.input_size
    return Poses(detections, points_to_image(placement, points), scores)


def result(value: Poses, spec: ModelSpec, image_size: Size, parameters: BaseModel) -> dict:
    """The best objects, best first, each with its keypoints."""
    found, names = value.detections, _names(value.points.shape[1], spec.output)
    top_k = parameters.top_k if isinstance(parameters, DetectionParameters) else None
    predictions = [prediction(found, row, spec) | {"keypoints": _told(value, row, names)}
                   for row in range(len(found))[:top_k]]
    return {"task": NAME, "predictions": predictions}


def merge(values: Iterable[tuple[Placement, Poses]], tiles: Tiles, spec: ModelSpec, parameters: BaseModel) -> Poses:
    """The objects of all tiles are merged by their boxes; of one that was joined each keypoint is the best piece's."""
    found = list(values)
    boxes = [(placement, poses.detections) for placement, poses in found]
    detections, groups = merge_tiles(boxes, spec, cast(DetectionParameters, parameters))
    if not groups:
        return Poses(detections, np.empty((0, 0, 2)), None)
    seen = [poses for _, poses in found if len(poses.detections)]
    points = np.concatenate([poses.points for poses in seen])
    rated = [poses.scores for poses in seen if poses.scores is not None]
    scores = np.concatenate(rated) if rated else None
    best = _best(groups, detections, np.concatenate([poses.detections.scores for poses in seen]), scores)
    every = np.arange(points.shape[1])
    return Poses(detections, points[best, every], None if scores is None else scores[best, every])


def _best(groups: list[Indices], detections: Detections, box_scores: Floats, scores: Floats | None) -> Indices:
    """(n, k) or (n, 1) the row that tells each keypoint of each object: the surest of it, else of the box."""
    if scores is None:
        return np.array([[rows[np.argmax(box_scores[rows])]] for rows in groups])
    return np.array([rows[np.argmax(scores[rows], axis=0)] for rows in groups])


def _chosen(outputs: Mapping[str, NDArray], rows: Rows, chosen: Indices,
            output: OutputSpec) -> tuple[Floats, Floats | None]:
    """Points (m, k, 2) in pixels of the input, and scores (m, k), of the chosen rows."""
    if "keypoints" in output.names:
        return _separate(outputs, chosen, output)
    assert rows.extra is not None and output.keypoints is not None
    end = rows.extra.shape[1] - output.oriented
    numbers = rows.extra[chosen, end - keypoint_numbers(output):end].reshape(-1, *output.keypoints)
    scores = numbers[:, :, 2].astype(np.float64) if numbers.shape[2] > 2 else None
    return numbers[:, :, :2].astype(np.float64), scores


def _separate(outputs: Mapping[str, NDArray], chosen: Indices, output: OutputSpec) -> tuple[Floats, Floats | None]:
    """Points of an output of their own, [n, k, 2 or 3] or with these numbers in one axis. torchvision's third number is
    always 1; what tells how sure it is of a point is the height of the heat map that it was found in, of which a
    sigmoid makes a score."""
    points = outputs[output.names["keypoints"]]
    told = output.keypoints
    flat = told is not None and points.shape[-1] == told[0] * told[1]
    points = points.reshape(-1, *(told if flat and told else points.shape[-2:]))[chosen].astype(np.float64)
    if "keypoint_scores" in output.names:
        heights = outputs[output.names["keypoint_scores"]].reshape(-1, points.shape[1])[chosen]
        return points[:, :, :2], activate(heights.astype(np.float64), "sigmoid")
    return points[:, :, :2], points[:, :, 2] if points.shape[2] > 2 else None


def _of_heatmaps(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement,
                 threshold: float | None) -> Poses:
    """One object: the whole image. Its score is the mean of its keypoints'.

    The middles of a map's outermost cells lie on those of the input's outermost pixels (unbiased data processing,
    Huang et al. 2020, as ViTPose is trained).
    """
    maps = outputs[spec.output.names["heatmaps"]]
    if maps.ndim != 4 or len(maps) != 1:
        raise ValueError(f"output '{spec.output.names['heatmaps']}' is {list(maps.shape)}, expected [1, keypoints, "
                         "height, width]: set heatmaps in [output.names], in model.toml")
    cells, scores = peaks(maps[0])
    last = np.array(placement.input_size) - 1, np.maximum(np.array(maps.shape[:1:-1]) - 1, 1)
    points = points_to_image(placement, cells * last[0] / last[1] + 0.5)
    box = np.array([placement.source], np.float64)
    score = float(np.clip(scores.mean(), 0, 1))
    count = int(score >= (spec.output.threshold if threshold is None else threshold))
    found = Detections(box[:count], np.array([score])[:count], np.zeros(count, np.intp))
    return Poses(found, points[np.newaxis][:count], scores[np.newaxis][:count])


def _names(count: int, output: OutputSpec) -> tuple[str, ...]:
    if len(output.keypoint_labels) == count:
        return output.keypoint_labels
    return COCO_KEYPOINTS if count == len(COCO_KEYPOINTS) else tuple(map(str, range(count)))


def _told(value: Poses, row: int, names: tuple[str, ...]) -> list[dict]:
    points = np.round(value.points[row], BOX_DIGITS).tolist()
    scores = [None] * len(names) if value.scores is None else np.round(value.scores[row], SCORE_DIGITS).tolist()
    return [{"label": name, "x": x, "y": y, "score": score}
            for name, (x, y), score in zip(names, points, scores, strict=True)]
