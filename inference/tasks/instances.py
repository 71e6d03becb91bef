"""image-segmentation by objects: a detection's boxes, each with a mask (Ultralytics' segment models, torchvision's Mask
R-CNN, RF-DETR)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.boxes.rows import find_rows
from inference.geometry import Box, Placement
from inference.masks import encode_mask, stretch
from inference.parameters import InstanceParameters
from inference.spec import ModelSpec, Size
from inference.tasks.detection import Detections, choose, merge_tiles, prediction
from inference.tiling import Tiles

NAME = "image-segmentation"
HALF = 0.5
BAND = 256  # rows of a mask resized at once: those of an image of 100 MP would be 400 MB of float32


@dataclass(frozen=True)
class Piece:
    """One tile's view of an object, as coarse as the model gave it: its pixels are made when the result is.

    `soft` (h, w) covers `region` of the image, the object is where it is above 0.5 and within `box`; both boxes are in
    pixels of the image.
    """

    soft: NDArray[np.float32]
    region: Box
    box: Box

    def paint(self, mask: NDArray[np.bool_]) -> None:
        """Set the object's pixels in a mask (height, width) of the image."""
        left, top, right, bottom = _pixels(self.box, self.region, (mask.shape[1], mask.shape[0]))
        for start in range(top, bottom if right > left else top, BAND):
            end = min(start + BAND, bottom)
            part = _in_cells((left, start, right, end), self.region, (self.soft.shape[1], self.soft.shape[0]))
            mask[start:end, left:right] |= stretch(self.soft, part, (right - left, end - start)) > 0


@dataclass(frozen=True)
class Instances:
    """Detections, and for each the pieces that make up its mask: one, or several where tiles were joined."""

    detections: Detections
    pieces: tuple[tuple[Piece, ...], ...]

    def mask(self, row: int, image_size: Size) -> NDArray[np.bool_]:
        """The mask (height, width) of one object, as large as the image."""
        mask = np.zeros((image_size[1], image_size[0]), bool)
        for piece in self.pieces[row]:
            piece.paint(mask)
        return mask


def read(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Instances:
    """Rows with mask coefficients (n, m) and prototypes [1, m, h, w], or with a mask each, [n, 1, h, w] of 0..1 or
    [1, n, h, w] of logits where scores are logits too -> the objects.

    Raises:
        ValueError: the outputs do not fit `spec`; the text names the key of model.toml to set.
    """
    masks = _masks(outputs, spec)
    rows = find_rows(outputs, spec, placement.input_size)
    detections, chosen = choose(rows, spec, placement, cast(InstanceParameters, parameters))
    boxes = [tuple(box) for box in detections.boxes.tolist()]
    if rows.extra is None and spec.output.activation == "sigmoid" and len(masks) == 1:
        return Instances(detections, tuple((_of_query(masks[0, row], placement),) for row in chosen))
    if rows.extra is None:
        return Instances(detections, tuple((_cut_out(masks[row, 0], box, placement),)
                                           for row, box in zip(chosen, boxes, strict=True)))
    return Instances(detections, tuple((_piece(weights, masks[0], box, placement),)
                                       for weights, box in zip(rows.extra[chosen], boxes, strict=True)))


def result(value: Instances, spec: ModelSpec, image_size: Size, parameters: BaseModel) -> dict:
    """The best objects, best first."""
    found = value.detections
    predictions = [prediction(found, row, spec) | {"mask": encode_mask(value.mask(row, image_size))}
                   for row in range(len(found))[: cast(InstanceParameters, parameters).top_k]]
    return {"task": NAME, "predictions": predictions}


def merge(values: Iterable[tuple[Placement, Instances]], tiles: Tiles, spec: ModelSpec,
          parameters: BaseModel) -> Instances:
    """The objects of all tiles are merged by their boxes; one that was joined has the masks of all its pieces."""
    found = list(values)
    boxes = [(placement, instances.detections) for placement, instances in found]
    detections, groups = merge_tiles(boxes, spec, cast(InstanceParameters, parameters))
    pieces = [piece for _, instances in found for piece in instances.pieces]
    return Instances(detections, tuple(tuple(part for row in rows for part in pieces[row]) for rows in groups))


def _masks(outputs: Mapping[str, NDArray], spec: ModelSpec) -> NDArray:
    """Prototypes (1, m, h, w), or a mask for each row, (n, 1, h, w) or (1, n, h, w)."""
    masks = outputs.get(spec.output.names.get("masks", ""))
    if masks is None or masks.ndim != 4:
        raise ValueError(f"none of the outputs {', '.join(outputs)} is known to hold the masks, [1, numbers, height, "
                         "width] or [objects, 1, height, width]: set masks in [output.names] in model.toml")
    return masks


def _piece(weights: NDArray, prototypes: NDArray, box: Box, placement: Placement) -> Piece:
    """The mask of one row, weights @ prototypes, of the cells around its box (Ultralytics' process_mask)."""
    grid = prototypes.shape[2], prototypes.shape[1]
    whole = _shown_by_grid(placement)
    left, top, right, bottom = cells = _cells_around(_in_cells(box, whole, grid), grid)
    logits = np.tensordot(weights, prototypes[:, top:bottom, left:right].astype(weights.dtype), 1)
    return Piece(logits.astype(np.float32), _of_cells(cells, whole, grid), box)


def _cut_out(mask: NDArray, box: Box, placement: Placement) -> Piece:
    """What a mask (h, w) of values 0..1, which shows all of the input, holds around its box."""
    grid = mask.shape[1], mask.shape[0]
    whole = _shown_by_grid(placement)
    left, top, right, bottom = cells = _cells_around(_in_cells(box, whole, grid), grid)
    return Piece(mask[top:bottom, left:right].astype(np.float32) - HALF, _of_cells(cells, whole, grid), box)


def _of_query(mask: NDArray, placement: Placement) -> Piece:
    """The mask (h, w) of a query: logits, above 0 where the object is, which its box does not cut off."""
    whole = _shown_by_grid(placement)
    return Piece(mask.astype(np.float32), whole, whole)


def _cells_around(box: Box, grid: Size) -> tuple[int, int, int, int]:
    """The whole cells around a box, and one more on each side: a pixel at the box's rim lies between two cells."""
    return (max(floor(box[0]) - 1, 0), max(floor(box[1]) - 1, 0),
            min(ceil(box[2]) + 1, grid[0]), min(ceil(box[3]) + 1, grid[1]))


def _shown_by_grid(placement: Placement) -> Box:
    """The box of the image, also beyond its rim, that the model's whole input shows."""
    (across, down), (width, height) = placement.scale, placement.input_size
    left, top = placement.source[0] - placement.target[0] / across, placement.source[1] - placement.target[1] / down
    return left, top, left + width / across, top + height / down


def _in_cells(box: Box, region: Box, grid: Size) -> Box:
    """A box of the image -> the same in cells of the grid that covers `region`, cut off at the grid's rim."""
    across, down = grid[0] / (region[2] - region[0]), grid[1] / (region[3] - region[1])
    left, right = (min(max((x - region[0]) * across, 0), grid[0]) for x in (box[0], box[2]))
    top, bottom = (min(max((y - region[1]) * down, 0), grid[1]) for y in (box[1], box[3]))
    return left, top, right, bottom


def _of_cells(cells: Box, region: Box, grid: Size) -> Box:
    """The reverse: cells of the grid that covers `region` -> a box of the image."""
    across, down = (region[2] - region[0]) / grid[0], (region[3] - region[1]) / grid[1]
    return (region[0] + cells[0] * across, region[1] + cells[1] * down,
            region[0] + cells[2] * across, region[1] + cells[3] * down)


def _pixels(box: Box, region: Box, image_size: Size) -> tuple[int, int, int, int]:
    """The pixels of the image that `region` covers and whose middle lies within `box`, at least one each way."""
    left, top, right, bottom = (ceil(side - 0.5) for side in box)
    left, top = min(left, ceil(box[2]) - 1), min(top, ceil(box[3]) - 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    return (max(left, round(region[0]), 0), max(top, round(region[1]), 0),
            min(right, round(region[2]), image_size[0]), min(bottom, round(region[3]), image_size[1]))
