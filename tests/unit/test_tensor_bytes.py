import io
from typing import Any

import numpy as np
import orjson
import pytest

from inference.errors import NotOneTensor
from inference.geometry import place
from inference.parameters import TensorParameters
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.tasks.tensor import read, result
from inference.tensor_bytes import NPY, plain_tensor
from predictors.server import as_json

SPEC = ModelSpec("m", "1", "tensor", (), InputSpec("x", (8, 8)), OutputSpec({}))
OCTETS = "application/octet-stream"
TYPES = [("FP16", np.float16), ("FP32", np.float32), ("FP64", np.float64), ("BOOL", np.bool_), ("INT8", np.int8),
         ("INT16", np.int16), ("INT32", np.int32), ("INT64", np.int64), ("UINT8", np.uint8), ("UINT16", np.uint16),
         ("UINT32", np.uint32), ("UINT64", np.uint64)]


def told(*arrays: np.ndarray) -> dict[str, Any]:
    """The result of a model with these outputs."""
    asked, outputs = TensorParameters(), {f"y{number}": values for number, values in enumerate(arrays)}
    return result(read(outputs, SPEC, place((9, 9), SPEC.input), asked), SPEC, (9, 9), asked)


def loaded(found: dict[str, Any]) -> np.ndarray:
    return np.load(io.BytesIO(b"".join(plain_tensor(found, NPY).pieces)), allow_pickle=False)


@pytest.mark.parametrize(("datatype", "kind"), TYPES)
def test_a_file_of_numpys_format_holds_the_output_as_it_is(datatype: str, kind: type) -> None:
    values: np.ndarray = np.array([[[0, 1, 100], [7, 8, 9]]]).astype(kind)
    tensor, got = plain_tensor(told(values), NPY), loaded(told(values))
    assert (tensor.shape, tensor.datatype) == ([1, 2, 3], datatype)
    assert (got.dtype, got.shape) == (values.dtype, values.shape)
    assert np.array_equal(got, values)


@pytest.mark.parametrize(("datatype", "kind"), TYPES)
def test_plain_bytes_are_the_numbers_alone(datatype: str, kind: type) -> None:
    values: np.ndarray = np.arange(6).reshape(1, 2, 3).astype(kind)
    assert plain_tensor(told(values), OCTETS).pieces == [values.tobytes()]


@pytest.mark.parametrize("values", [
    np.zeros((0, 4), np.float32), np.array(7, np.int64), np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
    np.broadcast_to(np.float16(0.5), (1, 3)), np.ones((2, 4), np.bool_)[:, ::2]])
def test_every_form_of_array_can_be_told(values: np.ndarray) -> None:
    assert np.array_equal(loaded(told(values)), values)
    assert loaded(told(values)).dtype == values.dtype


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_numbers_that_are_none_stay_as_they_are(kind: type) -> None:
    values: np.ndarray = np.array([1, np.nan, np.inf, -np.inf, -0.0], kind)
    assert loaded(told(values)).tobytes() == values.tobytes()


@pytest.mark.parametrize(("datatype", "kind"), TYPES)
def test_what_came_back_from_json_is_the_same(datatype: str, kind: type) -> None:
    random = np.random.default_rng(3)
    bits = random.integers(0, 256, 40_000, np.uint8)
    values = bits[:5000] % 2 == 1 if kind is np.bool_ else bits.view(kind)
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    got = loaded(orjson.loads(as_json(told(values))))
    assert got.dtype == kind
    assert got.tobytes() == values.tobytes()


def test_what_is_null_in_json_is_no_number() -> None:
    values = np.array([1, np.nan, np.inf], np.float32)
    assert np.isnan(loaded(orjson.loads(as_json(told(values))))).tolist() == [False, True, True]


@pytest.mark.parametrize("number", [0, 2])
def test_another_number_of_outputs_than_one_is_refused(number: int) -> None:
    with pytest.raises(NotOneTensor, match=f"the result has {number}: post the image with outputs=name, or"):
        plain_tensor(told(*[np.zeros(3, np.float32)] * number), NPY)


@pytest.mark.parametrize("found", [
    told(np.array(["a", "b"], object)), {"outputs": [{"shape": [1], "data": [1]}]},
    {"outputs": [{"shape": [2], "datatype": "FP32", "data": [1]}]},
    {"outputs": [{"shape": [1], "datatype": "UINT8", "data": [None]}]},
    {"outputs": [{"shape": [1], "datatype": "UINT8", "data": [256]}]},
    {"outputs": [{"shape": [1], "datatype": "FP32", "data": ["x"]}]}])
def test_what_is_no_array_of_numbers_is_refused(found: dict) -> None:
    with pytest.raises(NotOneTensor, match="application/json"):
        plain_tensor(found, NPY)


@pytest.mark.parametrize("found", [{"task": "image-classification", "predictions": []}, {"outputs": {"y": 1}}])
def test_the_result_of_another_task_is_refused(found: dict) -> None:
    with pytest.raises(NotOneTensor, match="is for results of the task tensor"):
        plain_tensor(found, NPY)
