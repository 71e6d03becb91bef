"""Boxes on a model's input -> boxes on the image. Pure."""

import numpy as np
from numpy.typing import NDArray

from inference.geometry import Placement


def to_image(placement: Placement, boxes: NDArray) -> NDArray[np.float64]:
    """Boxes (n, 4) xyxy in pixels of the input -> the same in pixels of the image, cut off at its rim."""
    (across, down), (left, top) = placement.scale, placement.target[:2]
    scaled = (boxes.astype(np.float64) - (left, top, left, top)) / (across, down, across, down)
    moved = np.add(scaled, (*placement.source[:2], *placement.source[:2]))
    width, height = placement.image_size
    return np.clip(moved, 0, (width, height, width, height))
