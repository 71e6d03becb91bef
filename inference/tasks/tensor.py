"""tensor: a model's outputs as they are, in the words of the Open Inference Protocol.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from inference.errors import BadParameter
from inference.geometry import Placement
from inference.spec import ModelSpec, Size

MAX_NUMBERS = 10_000_000  # in one answer: 150 MB as JSON, and 5 s of a worker
NAME = "tensor"
LETTERS = {"f": "FP", "i": "INT", "u": "UINT"}  # numpy's kinds
Outputs = Mapping[str, NDArray]


class Parameters(BaseModel):
    """What a caller may ask: only some of the `outputs`, by name, separated by commas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outputs: str | None = None


def read(outputs: Outputs, spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Outputs:
    """The outputs that are asked for, in that order.

    Raises:
        BadParameter: the model has no such output.
        ValueError: they hold more than MAX_NUMBERS.
    """
    asked = cast(Parameters, parameters).outputs
    names = list(outputs) if asked is None else [name.strip() for name in asked.split(",")]
    for name in names:
        if name not in outputs:
            raise BadParameter(f"parameter 'outputs': there is no output '{name}', the model has {', '.join(outputs)}")
    numbers = sum(outputs[name].size for name in names)
    if numbers > MAX_NUMBERS:
        raise ValueError(f"{numbers} numbers are more than the {MAX_NUMBERS} of one answer: ask for some of the "
                         "outputs (outputs=name), set another task in model.toml, or make less of them in hooks.py")
    return {name: outputs[name] for name in names}


def result(value: Outputs, spec: ModelSpec, image_size: Size, parameters: BaseModel) -> dict:
    return {"task": NAME, "outputs": [_told(name, np.asarray(values)) for name, values in value.items()]}


def _told(name: str, values: NDArray) -> dict:
    return {"name": name, "shape": list(values.shape), "datatype": _datatype(values), "data": _data(values)}


def _datatype(values: NDArray) -> str:
    letters = LETTERS.get(values.dtype.kind)
    return f"{letters}{values.dtype.itemsize * 8}" if letters else {"b": "BOOL"}.get(values.dtype.kind, "BYTES")


def _data(values: NDArray) -> list:
    """All values, the last axis running fastest. JSON knows no NaN and no infinity: they become null."""
    flat = values.ravel()
    if values.dtype.kind != "f" or np.isfinite(flat).all():
        return flat.tolist()
    return [value if finite else None for value, finite in zip(flat.tolist(), np.isfinite(flat), strict=True)]
