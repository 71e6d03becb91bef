"""tensor: a model's outputs as they are, in the words of the Open Inference Protocol.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.errors import BadParameter
from inference.geometry import Placement
from inference.parameters import TensorParameters
from inference.spec import ModelSpec, Size

MAX_NUMBERS = 10_000_000  # in one answer, which has about 150 MB as JSON
NAME = "tensor"
LETTERS = {"f": "FP", "i": "INT", "u": "UINT"}  # numpy's kinds
Outputs = Mapping[str, NDArray]


def read(outputs: Outputs, spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Outputs:
    """The outputs that are asked for, in that order.

    Raises:
        BadParameter: the model has no such output.
        ValueError: they hold more than MAX_NUMBERS.
    """
    asked = cast(TensorParameters, parameters).outputs
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


def _data(values: NDArray) -> NDArray | list:
    """All values, the last axis running fastest.

    Numbers stay an array, which orjson writes as it is, with null for NaN and infinity, of which JSON knows nothing.
    Texts become a list. FP16 becomes FP32, which orjson writes in every release.
    """
    flat = values.ravel()
    if values.dtype == np.float16:
        return flat.astype(np.float32)
    return flat if values.dtype.kind in (*LETTERS, "b") else flat.tolist()
