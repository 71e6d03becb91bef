import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from inference.geometry import place
from inference.parameters import FeatureParameters as Parameters
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.tasks import TASKS
from inference.tasks.features import NAME, merge, read, result
from inference.tiling import cut

VECTOR = np.array([[3.0, 0.0, 4.0]], np.float32)


def spec_of(layout: str = "NCHW", normalize: bool = False, **names: str) -> ModelSpec:
    wanted = InputSpec("x", (8, 8), layout=layout)  # type: ignore[arg-type]
    return ModelSpec("m", "1", "image-feature-extraction", (), wanted, OutputSpec(names, normalize=normalize))


def embedding(outputs: dict, spec: ModelSpec, **parameters: bool) -> list[float]:
    asked = Parameters(**parameters)
    found = result(read(outputs, spec, place((9, 9), spec.input), asked), spec, (9, 9), asked)
    assert found["task"] == NAME
    return orjson.loads(orjson.dumps(found["embedding"], option=orjson.OPT_SERIALIZE_NUMPY))


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1), (1, 1, 1, 3), (1, 1, 3)])
def test_a_vector_is_told_as_a_list(shape: tuple[int, ...]) -> None:
    layout = "NHWC" if shape == (1, 1, 1, 3) else "NCHW"
    assert embedding({"y": VECTOR.reshape(shape)}, spec_of(layout)) == [3, 0, 4]


def test_numbers_are_written_as_those_of_fp32_are() -> None:
    assert embedding({"y": np.array([[0.1, 1 / 3]], np.float32)}, spec_of()) == [0.1, 0.33333334]


def test_of_tokens_the_first_is_told() -> None:
    assert embedding({"y": np.arange(6.0).reshape(1, 3, 2)}, spec_of()) == [0, 1]


@pytest.mark.parametrize(("layout", "axes"), [("NCHW", (0, 1, 2, 3)), ("NHWC", (0, 2, 3, 1))])
def test_a_feature_map_is_averaged_over_the_image(layout: str, axes: tuple[int, ...]) -> None:
    features = np.arange(8.0).reshape(1, 2, 2, 2).transpose(axes)
    assert embedding({"y": features}, spec_of(layout)) == [1.5, 5.5]


def test_the_named_output_is_told_else_the_first_vector() -> None:
    outputs = {"tokens": np.zeros((1, 5, 2)), "pooled": np.array([[1, 2]]), "other": np.array([[3, 4]])}
    assert embedding(outputs, spec_of()) == [1, 2]
    assert embedding(outputs, spec_of(embedding="other")) == [3, 4]


@pytest.mark.parametrize(("by_model", "asked", "expected"), [
    (False, {}, [3, 0, 4]), (True, {}, [0.6, 0, 0.8]), (True, {"normalize": False}, [3, 0, 4]),
    (False, {"normalize": True}, [0.6, 0, 0.8])])
def test_the_caller_decides_before_the_model_whether_the_length_is_1(by_model: bool, asked: dict,
                                                                     expected: list[float]) -> None:
    assert embedding({"y": VECTOR}, spec_of(normalize=by_model), **asked) == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_a_vector_of_zeros_stays_one() -> None:
    assert embedding({"y": np.zeros((1, 3))}, spec_of(normalize=True)) == [0, 0, 0]


def test_tiles_are_averaged_before_they_are_normalised() -> None:
    spec, tiles = spec_of(normalize=True), cut((12, 8), (8, 8), 2)
    vectors = [VECTOR, VECTOR * np.array([[1, 1, -0.5]])]
    values = [(placement, read({"y": vector}, spec, placement, Parameters()))
              for placement, vector in zip(tiles.placements(spec.input), vectors, strict=True)]
    merged = merge(iter(values), tiles, spec, Parameters())
    assert merged.tolist() == [3, 0, 1]
    assert result(merged, spec, (12, 8), Parameters())["embedding"] == pytest.approx([3 / 10**0.5, 0, 1 / 10**0.5])


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((2, 3)), np.zeros((1, 2, 3, 4, 5)), np.array([[np.nan]])])
def test_an_output_that_does_not_fit_is_told_with_what_to_set(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"output 'y'.*model\.toml"):
        embedding({"y": values}, spec_of())


@pytest.mark.parametrize("given", [{"normalize": "perhaps"}, {"top_k": 1}])
def test_wrong_parameters_are_refused(given: dict) -> None:
    with pytest.raises(ValidationError):
        Parameters.model_validate(given)


def test_parameters_may_come_as_text() -> None:
    assert Parameters.model_validate({"normalize": "true"}) == Parameters(normalize=True)


def test_the_task_is_entered_under_its_name() -> None:
    assert TASKS[NAME].read is read
