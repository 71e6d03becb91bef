"""What the network is asked for, cell by cell, and how its answer is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.fruit.crops import Crop
from training.fruit.network import STRIDE
from training.photographs import FloatArray

SPREAD = 0.12  # of a box's side: standard deviation of the bell around its middle
LEAST_SPREAD = 0.65  # cells
NEAR = 0.1  # cells where the bell is higher also learn the box
MOST_INVENTED = 3.0  # natural logarithm; beyond it a cell that is wrongly hot costs no more
BOX_WEIGHT = 4.0  # of the boxes beside the heat


@dataclass(frozen=True)
class Target:
    """Bells around the middles [n, 1, h, w], the box of each cell [n, 4, h, w], its weight and what counts."""

    heat: Tensor
    boxes: Tensor
    weights: Tensor
    counts: Tensor


def encode(crops: Sequence[Crop]) -> Target:
    """The targets of a batch of pictures."""
    maps = [encode_one(crop) for crop in crops]
    return Target(*(torch.from_numpy(np.stack(field)) for field in zip(*maps, strict=True)))


def encode_one(crop: Crop) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Heat [1, h, w], boxes [4, h, w], weights [1, h, w] and what counts [1, h, w] of one picture."""
    cells = len(crop.pixels) // STRIDE
    heat, weights = np.zeros((2, 1, cells, cells), dtype=np.float32)
    boxes = np.zeros((4, cells, cells), dtype=np.float32)
    for box in crop.boxes:
        own = bell(box, cells)
        wins = own > heat[0]
        near = wins & (own > NEAR)
        boxes[:, near] = box[:, None]
        weights[0][wins] = 0
        weights[0][near] = own[near] / own[near].sum()
        heat[0][wins] = own[wins]
    return heat, boxes, weights, counted(crop.unclear, cells)


def bell(box: FloatArray, cells: int) -> FloatArray:
    """A bell [cells, cells] that is 1 in the cell of the box's middle."""
    middle = ((box[:2] + box[2:]) / 2 / STRIDE).astype(int)
    spread = np.maximum((box[2:] - box[:2]) / STRIDE * SPREAD, LEAST_SPREAD)
    across, down = (np.exp(-(((np.arange(cells) - middle[i]) / spread[i]) ** 2) / 2) for i in range(2))
    return np.asarray(down[:, None] * across[None], dtype=np.float32)


def counted(unclear: FloatArray, cells: int) -> FloatArray:
    """0 in the cells of boxes where nothing is asked, 1 elsewhere, shape [1, cells, cells]."""
    counts = np.ones((1, cells, cells), dtype=np.float32)
    for left, top, right, bottom in (unclear / STRIDE).astype(int):
        counts[0, top : bottom + 1, left : right + 1] = 0
    return counts


def loss(heat: Tensor, boxes: Tensor, target: Target) -> Tensor:
    """What is wrong with heat [n, 1, h, w] and boxes [n, 4, h, w], for each strawberry of the batch."""
    strawberries = (target.heat == 1).sum().clamp(min=1)
    overlap = generous_overlap(boxes, target.boxes)
    misplaced = ((1 - overlap) * target.weights[:, 0]).sum()
    return (focal(heat, target) + BOX_WEIGHT * misplaced) / strawberries


def focal(heat: Tensor, target: Target) -> Tensor:
    """Focal loss of the heat (logits): sure answers count little, and so do cells beside a middle.

    Soft towards red fruits nobody has labelled: their loss grows no further once the network is sure of them.
    """
    score = torch.sigmoid(heat)
    missed = (1 - score) ** 2 * functional.softplus(-heat)
    invented = (1 - target.heat) ** 4 * score**2 * functional.softplus(heat).clamp(max=MOST_INVENTED)
    return torch.where(target.heat == 1, missed, invented * target.counts).sum()


def generous_overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Generalised intersection over union of boxes [n, 4, h, w], -1..1, shape [n, h, w]."""
    lowest, highest = torch.minimum(boxes, others), torch.maximum(boxes, others)
    inner = (lowest[:, 2:] - highest[:, :2]).clamp(min=0).prod(1)
    outer = (highest[:, 2:] - lowest[:, :2]).prod(1).clamp(min=1)
    union = (area(boxes) + area(others) - inner).clamp(min=1)
    return inner / union - (outer - union) / outer


def area(boxes: Tensor) -> Tensor:
    """Square pixels [n, h, w] of boxes [n, 4, h, w]."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)
