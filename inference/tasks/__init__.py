"""One file per task: the model's outputs -> the result of the contract.

To add a task, copy `classification.py`, keep its two names (`Parameters`, `to_result`) and enter it in `TASKS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from numpy.typing import NDArray
from pydantic import BaseModel

from inference.image import ImageInfo
from inference.spec import ModelSpec
from inference.tasks import classification


@dataclass(frozen=True)
class Task:
    """What the engine needs of a task: how its parameters are checked, and how outputs become a result."""

    parameters: type[BaseModel]
    to_result: Callable[[Sequence[NDArray], ModelSpec, ImageInfo, BaseModel], dict]


TASKS = {
    classification.NAME: Task(classification.Parameters, classification.to_result),
}
