import numpy as np
import orjson
import pytest

from inference.errors import BadParameter
from inference.geometry import place
from inference.parameters import TensorParameters as Parameters
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.tasks import TASKS
from inference.tasks.tensor import MAX_NUMBERS, NAME, read, result

SPEC = ModelSpec("m", "1", "tensor", (), InputSpec("x", (8, 8)), OutputSpec({}))


def told(outputs: dict[str, np.ndarray], names: str | None = None) -> list[dict]:
    """The outputs as a caller reads them from JSON."""
    asked = Parameters(outputs=names)
    found = result(read(outputs, SPEC, place((9, 9), SPEC.input), asked), SPEC, (9, 9), asked)
    assert found["task"] == NAME
    return orjson.loads(orjson.dumps(found["outputs"], option=orjson.OPT_SERIALIZE_NUMPY))


@pytest.mark.parametrize(("kind", "datatype"), [
    (np.float16, "FP16"), (np.float32, "FP32"), (np.float64, "FP64"), (np.int8, "INT8"), (np.int16, "INT16"),
    (np.int32, "INT32"), (np.int64, "INT64"), (np.uint8, "UINT8"), (np.uint16, "UINT16"), (np.uint32, "UINT32"),
    (np.uint64, "UINT64"), (np.bool_, "BOOL")])
def test_types_are_named_as_in_the_open_inference_protocol(kind: type, datatype: str) -> None:
    entry, = told({"y": np.array([[0, 1]], kind)})
    assert entry == {"name": "y", "shape": [1, 2], "datatype": datatype, "data": [0, 1]}


def test_texts_are_bytes_in_the_protocols_words() -> None:
    entry, = told({"y": np.array(["a", "b"], object)})
    assert (entry["datatype"], entry["data"]) == ("BYTES", ["a", "b"])


def test_data_is_flat_with_the_last_axis_running_fastest() -> None:
    values = np.arange(24, dtype=np.int64).reshape(1, 2, 3, 4)
    assert told({"y": values})[0]["data"] == list(range(24))
    assert told({"y": values.transpose(0, 2, 3, 1)})[0]["data"] == values.transpose(0, 2, 3, 1).flatten().tolist()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_what_is_not_finite_is_null(kind: type) -> None:
    assert told({"y": np.array([1, np.nan, np.inf, -np.inf], kind)})[0]["data"] == [1, None, None, None]


@pytest.mark.parametrize("values", [
    np.zeros((0, 4), np.float32), np.array(7, np.int64), np.ones((2, 4), np.bool_)[:, ::2],
    np.broadcast_to(np.float16(0.5), (1, 3))])
def test_every_form_of_array_can_be_written(values: np.ndarray) -> None:
    assert told({"y": values})[0]["data"] == values.flatten().tolist()


def test_float32_is_written_as_short_as_it_can_be_told() -> None:
    found = result({"y": np.array([0.1], np.float32)}, SPEC, (9, 9), Parameters())
    assert b'"data":[0.1]' in orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY)


def test_a_caller_may_ask_for_some_outputs() -> None:
    outputs = {name: np.zeros(1) for name in "abc"}
    assert [entry["name"] for entry in told(outputs)] == ["a", "b", "c"]
    assert [entry["name"] for entry in told(outputs, "c, a")] == ["c", "a"]


def test_an_unknown_output_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadParameter, match=r"no output 'z', the model has a, b"):
        told({"a": np.zeros(1), "b": np.zeros(1)}, "a,z")


def test_the_task_is_entered_under_its_name_and_tiles_are_not_put_together() -> None:
    assert (TASKS[NAME].read, TASKS[NAME].merge) == (read, None)


def test_more_numbers_than_an_answer_can_hold_are_refused() -> None:
    huge = {"y": np.broadcast_to(np.float32(1), (1, MAX_NUMBERS + 1))}
    with pytest.raises(ValueError, match="ask for some of the outputs"):
        read(huge, SPEC, place((9, 9), SPEC.input), Parameters())
