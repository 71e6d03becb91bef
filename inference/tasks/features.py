"""image-feature-extraction: one vector per image."""

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.geometry import Placement
from inference.model_toml import Layout
from inference.parameters import FeatureParameters
from inference.spec import ModelSpec, Size
from inference.tiling import Tiles

NAME = "image-feature-extraction"
Vector = NDArray[np.float64]


def read(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Vector:
    """The output named "embedding", else the first of two axes, else the first -> vector (length,).

    Raises:
        ValueError: it is no vector, tokens or feature map, or has values that are no numbers.
    """
    vectors = [name for name, values in outputs.items() if values.ndim == 2]
    name = spec.output.names.get("embedding") or next(iter([*vectors, *outputs]))
    vector = _vector(name, outputs[name], spec.input.layout).astype(np.float64)
    if not np.isfinite(vector).all():
        raise ValueError(f"output '{name}' has values that are not finite: check [input] scale, mean and std "
                         "in model.toml")
    return vector


def result(value: Vector, spec: ModelSpec, image_size: Size, parameters: BaseModel) -> dict:
    """The vector stays an array, which orjson writes many times faster than a list; as FP32, in few digits."""
    asked = cast(FeatureParameters, parameters).normalize
    wanted = spec.output.normalize if asked is None else asked
    vector = _normalised(value) if wanted else value
    return {"task": NAME, "embedding": vector.astype(np.float32)}


def merge(values: Iterable[tuple[Placement, Vector]], tiles: Tiles, spec: ModelSpec, parameters: BaseModel) -> Vector:
    """The mean of the tiles' vectors; `result` normalises it afterwards."""
    return sum((vector for _, vector in values), np.zeros(())) / len(tiles)


def _vector(name: str, values: NDArray, layout: Layout) -> NDArray:
    """(1, length); (1, tokens, length): the first token; a feature map: its mean over the image.

    A vision transformer puts a token of no patch first ("CLS") and is trained to gather the whole image there:
    ViT, https://arxiv.org/abs/2010.11929, section 3.1.
    """
    if values.ndim == 2 and len(values) == 1:
        return values[0]
    if values.ndim == 3 and len(values) == 1:
        return values[0, 0]
    if values.ndim == 4 and len(values) == 1:
        rows_and_columns = (1, 2) if layout == "NCHW" or values.shape[2:] == (1, 1) else (0, 1)
        return values[0].mean(axis=rows_and_columns, dtype=np.float64)
    raise ValueError(f"output '{name}' is {list(values.shape)}, expected a vector [1, length] or tokens "
                     "[1, tokens, length]: set [output.names] embedding in model.toml to another output")


def _normalised(vector: Vector) -> Vector:
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector
