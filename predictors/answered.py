"""What predictors answered, as their askers get it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from predictors.protocol import Message


@dataclass(frozen=True)
class Tensor:
    """The one tensor of a result as a file of the media type that was asked for; `datatype` in the words of the Open
    Inference Protocol."""

    data: bytes
    shape: Sequence[int]
    datatype: str


@dataclass(frozen=True)
class Prediction:
    """What a predictor answered, and what it took: the contract's `result` object in JSON, or the `tensor` that was
    asked for. `samples` are for a `CostModel`: a part of the work, amounts of it, milliseconds of a core."""

    result: bytes
    model_version: str
    image: Mapping[str, Any]
    timings_ms: Mapping[str, float]
    queue_ms: float
    samples: Sequence[tuple[str, tuple[float, ...], float]]
    tensor: Tensor | None = None


@dataclass(frozen=True)
class Drawing:
    """A result drawn on its image, as a file, and what that took."""

    data: bytes
    samples: Sequence[tuple[str, tuple[float, ...], float]] = ()


def prediction_of(message: Message) -> Prediction:
    """What an answer to a prediction says."""
    head = message.head
    tensor = tensor_of(message) if "tensor" in head else None
    return Prediction(b"" if tensor else message.body, head["model_version"], head["image"], head["timings_ms"],
                      head["queue_ms"], samples_of(message), tensor)


def samples_of(message: Message) -> tuple[tuple[str, tuple[float, ...], float], ...]:
    """What was done, also before a refusal."""
    return tuple((part, tuple(amounts), ms) for part, amounts, ms in message.head.get("samples", ()))


def tensor_of(message: Message) -> Tensor:
    """What an answer with plain numbers says."""
    return Tensor(message.body, message.head["tensor"]["shape"], message.head["tensor"]["datatype"])


def drawing_of(message: Message) -> Drawing:
    """What an answer to a drawing says."""
    return Drawing(message.body, samples_of(message))
