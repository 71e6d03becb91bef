"""Boxes and points on a model's input -> the same on the image. Pure."""

import numpy as np
from numpy.typing import NDArray

from inference.geometry import Placement


def to_image(placement: Placement, boxes: NDArray) -> NDArray[np.float64]:
    """Boxes (n, 4) xyxy in pixels of the input -> the same in pixels of the image, cut off at its rim."""
    return points_to_image(placement, boxes.reshape(-1, 2, 2)).reshape(-1, 4)


def points_to_image(placement: Placement, points: NDArray) -> NDArray[np.float64]:
    """Points (..., 2) in pixels of the input -> the same in pixels of the image, moved to its rim where beyond it."""
    moved = (points.astype(np.float64) - placement.target[:2]) / placement.scale + placement.source[:2]
    return np.clip(moved, 0, placement.image_size)
