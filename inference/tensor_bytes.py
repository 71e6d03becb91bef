"""The one tensor of a result as plain numbers: without JSON, which is larger and knows neither NaN nor infinity."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import NotOneTensor

NPY = "application/x-npy"
# The Open Inference Protocol's names -> numpy's, little-endian as in that protocol's binary extension:
# https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol/binary-tensor-data-extension
NUMPY_TYPES = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BOOL": "|b1", "INT8": "|i1", "INT16": "<i2",
               "INT32": "<i4", "INT64": "<i8", "UINT8": "|u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8"}


@dataclass(frozen=True)
class PlainTensor:
    """The pieces of a file, and what its numbers are; the last axis runs fastest."""

    pieces: list[bytes]
    shape: list[int]
    datatype: str


def plain_tensor(result: Mapping[str, Any], media_type: str) -> PlainTensor:
    """A result of the task `tensor` as a file of numpy's format (application/x-npy), or its numbers alone.

    It may have come back from JSON; what is null there becomes NaN.

    Raises:
        NotOneTensor: it has no output or several, or holds texts; or hooks.py made something else of it.
    """
    output = _only_output(result, media_type)
    try:
        values = np.asarray(output["data"], NUMPY_TYPES[output["datatype"]]).reshape(output["shape"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotOneTensor(f"{media_type} holds numbers, which the result has not: ask for application/json") from error
    head = [_npy_head(values)] if media_type == NPY else []
    return PlainTensor([*head, values.tobytes()], list(values.shape), output["datatype"])


def _only_output(result: Mapping[str, Any], media_type: str) -> Mapping[str, Any]:
    outputs = result.get("outputs")
    if isinstance(outputs, list) and len(outputs) == 1 and isinstance(outputs[0], Mapping):
        return outputs[0]
    if not isinstance(outputs, list):
        raise NotOneTensor(f"{media_type} is for results of the task tensor: ask for application/json")
    raise NotOneTensor(f"{media_type} holds one output, the result has {len(outputs)}: post the image with "
                       "outputs=name, or ask for application/json")


def _npy_head(values: NDArray) -> bytes:
    """https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html"""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, np.lib.format.header_data_from_array_1_0(values))
    return buffer.getvalue()
