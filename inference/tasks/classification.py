"""image-classification: one score per label."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from inference.image import ImageInfo
from inference.spec import Activation, ModelSpec

NAME = "image-classification"
SCORE_DIGITS = 6


class Parameters(BaseModel):
    """What a caller may ask: at most `top_k` predictions, each with a score of at least `threshold`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_k: int = Field(5, ge=1)
    threshold: float = Field(0, ge=0, le=1)


def to_result(outputs: Sequence[NDArray], spec: ModelSpec, image: ImageInfo, parameters: BaseModel) -> dict:
    """Outputs [(1, classes)] -> the best labels, best first."""
    wanted = cast(Parameters, parameters)
    scores = activate(outputs[0].reshape(-1).astype(np.float64), spec.activation)
    best = np.argsort(-scores, kind="stable")[: wanted.top_k]
    predictions = [{"label": spec.labels[index], "score": round(float(scores[index]), SCORE_DIGITS)}
                   for index in best if scores[index] >= wanted.threshold]
    return {"task": NAME, "predictions": predictions}


def activate(values: NDArray[np.float64], activation: Activation) -> NDArray[np.float64]:
    """Logits (classes,) -> scores in 0..1; `none` for a model that gives scores already."""
    if activation == "softmax":
        powers = np.exp(values - values.max())
        return powers / powers.sum()
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(0, -values))  # 1 / (1 + e^-x) without its overflow
    return values
