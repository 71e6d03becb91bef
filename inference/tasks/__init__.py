"""One file per task: a model's outputs -> the result of the contract.

To add a task, copy `classification.py`, keep its names (`read`, `result`, and `merge` where tiles can be put together),
enter it in `TASKS`, and enter what a caller may ask of it in `inference/parameters.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from inference.geometry import Placement
from inference.spec import ModelSpec
from inference.tasks import (
    classification,
    depth,
    detection,
    features,
    image_to_image,
    instances,
    keypoints,
    mask_queries,
    segmentation,
    tensor,
)
from inference.tiling import Tiles

Outputs = Mapping[str, NDArray[np.generic]]  # of one image: each output by name, batch axis of 1 included


@dataclass(frozen=True)
class Task:
    """What a prediction needs of a task.

    `read` makes of one run's outputs a value in terms of the image (or of one tile of it), `merge` makes one of all
    tiles' values, row by row, and `result` makes of a value the JSON of the contract, in which large lists of numbers
    are numpy arrays. `with_image`, where there is one, is called after `read` with the upright image as it was decoded
    (perhaps at a reduced scale).
    """

    read: Callable[[Outputs, ModelSpec, Placement, BaseModel], Any]
    result: Callable[[Any, ModelSpec, tuple[int, int], BaseModel], dict]
    merge: Callable[[Iterable[tuple[Placement, Any]], Tiles, ModelSpec, BaseModel], Any] | None = None
    with_image: Callable[[Any, Image.Image, ModelSpec, Placement], Any] | None = None


TASKS = {
    classification.NAME: Task(classification.read, classification.result, classification.merge),
    detection.NAME: Task(detection.read, detection.result, detection.merge),
    keypoints.NAME: Task(keypoints.read, keypoints.result, keypoints.merge),
    depth.NAME: Task(depth.read, depth.result),
    segmentation.NAME: Task(segmentation.read, segmentation.result, segmentation.merge),
    features.NAME: Task(features.read, features.result, features.merge),
    image_to_image.NAME: Task(image_to_image.read, image_to_image.result, image_to_image.merge,
                              image_to_image.with_image),
    tensor.NAME: Task(tensor.read, tensor.result),
}
INSTANCES = Task(instances.read, instances.result, instances.merge)
MASK_QUERIES = Task(mask_queries.read, mask_queries.result)


def task_of(spec: ModelSpec) -> Task:
    """The task's functions; those of a segmenter that tells objects, or has queries, are its own."""
    if spec.has_mask_queries:
        return MASK_QUERIES
    return INSTANCES if spec.tells_objects else TASKS[spec.task]
