"""One file per task: a model's outputs -> the result of the contract.

To add a task, copy `classification.py`, keep its names (`Parameters`, `read`, `result`, and `merge` where tiles can
be put together) and enter it in `TASKS`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field

from inference.geometry import Placement
from inference.spec import ModelSpec
from inference.tasks import classification, detection, features, image_to_image, instances, segmentation, tensor
from inference.tiling import Tiles

Outputs = Mapping[str, NDArray[np.generic]]  # of one picture: each output by name, batch axis of 1 included


@dataclass(frozen=True)
class Task:
    """What the engine needs of a task.

    `read` makes of one run's outputs a value in terms of the image (or of one tile of it), `merge` of all tiles'
    values, row by row, one, and `result` of a value the JSON of the contract. `with_picture`, where there is one, is
    called after `read` with the upright picture as it was decoded (perhaps at a reduced scale).
    """

    parameters: type[BaseModel]
    read: Callable[[Outputs, ModelSpec, Placement, BaseModel], Any]
    result: Callable[[Any, ModelSpec, tuple[int, int], BaseModel], dict]
    merge: Callable[[Iterable[tuple[Placement, Any]], Tiles, ModelSpec, BaseModel], Any] | None = None
    with_picture: Callable[[Any, Image.Image, ModelSpec, Placement], Any] | None = None


class Tiled(BaseModel):
    """What a caller may ask of any task whose tiles can be merged: pixels of a tile's side, 0 for none."""

    tile: int | None = Field(None, ge=0)


def _with_tile(parameters: type[BaseModel]) -> type[BaseModel]:
    return type(parameters.__name__, (parameters, Tiled), {"__doc__": parameters.__doc__})


TASKS = {
    classification.NAME: Task(_with_tile(classification.Parameters), classification.read, classification.result,
                              classification.merge),
    detection.NAME: Task(_with_tile(detection.Parameters), detection.read, detection.result, detection.merge),
    segmentation.NAME: Task(_with_tile(segmentation.Parameters), segmentation.read, segmentation.result,
                            segmentation.merge),
    features.NAME: Task(_with_tile(features.Parameters), features.read, features.result, features.merge),
    image_to_image.NAME: Task(_with_tile(image_to_image.Parameters), image_to_image.read, image_to_image.result,
                              image_to_image.merge, image_to_image.with_picture),
    tensor.NAME: Task(tensor.Parameters, tensor.read, tensor.result),
}
INSTANCES = Task(_with_tile(instances.Parameters), instances.read, instances.result, instances.merge)


def task_of(spec: ModelSpec) -> Task:
    """The task's functions; a segmenter whose output has a detector's columns tells objects, not pixels' classes."""
    return INSTANCES if spec.task == segmentation.NAME and spec.output.columns is not None else TASKS[spec.task]
