"""hooks.py: a model's own preprocessing and postprocessing."""

import json
import pickle
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from inference.errors import InferenceFailed, ModelNotUsable
from inference.hooks import plain
from predictors.server import as_json
from tests.onnx_models import classifier, classifier_logits
from tests.unit import predicting
from tests.unit.images import photo
from tests.unit.predicting import loaded


def result(folder: Path, hooks: str, **parameters: object) -> dict:
    """What a classifier of 32 pixels with these hooks makes of a 60x40 image."""
    classifier(folder / "odd" / "model.onnx")
    (folder / "odd" / "hooks.py").write_text(hooks)
    (folder / "odd" / "labels.txt").write_text("0\n1\n")
    return orjson.loads(as_json(predicting.result(loaded(folder), photo((60, 40)), **parameters)))


def test_postprocess_makes_the_result(tmp_path: Path) -> None:
    found = result(tmp_path, """
import numpy as np
def postprocess(outputs, context):
    box = context.to_image(np.array([[0, 0, 16, 32]]))[0]
    return [{"label": context.labels[0], "score": outputs["logits"].max() * 0 + np.float32(0.5), "box": box,
             "of": context.image_size, "top_k": context.parameters["top_k"]}]
""", top_k=3)
    assert found == {"task": "image-classification", "predictions": [
        {"label": "0", "score": 0.5, "box": [0, 0, 30, 40], "of": [60, 40], "top_k": 3}]}


def test_a_dict_is_the_result_itself(tmp_path: Path) -> None:
    found = result(tmp_path, "def postprocess(outputs, context): return {'task': 'counting', 'fruits': 3}")
    assert found == {"task": "counting", "fruits": 3}


@pytest.mark.parametrize("given", ["batch", "{'image': batch}"])
def test_preprocess_makes_the_inputs_from_the_whole_upright_image(tmp_path: Path, given: str) -> None:
    found = result(tmp_path, f"""
import numpy as np
def preprocess(image):
    assert (image.shape, image.dtype) in (((40, 60, 3), np.uint8), ((32, 32, 3), np.uint8))  # and the warm-up's
    batch = np.full((1, 3, 32, 32), 0.25, np.float32)
    return {given}
""")
    logits = classifier_logits(np.full((1, 3, 32, 32), 0.25))[0]
    assert found["predictions"][0]["label"] == str(logits.argmax())
    assert found["predictions"][0]["score"] == pytest.approx(np.exp(logits.max()) / np.exp(logits).sum(), abs=1e-5)


@pytest.mark.parametrize(("body", "told"), [
    ("raise ValueError('odd image')", "hooks.py, postprocess: ValueError: odd image (line 3)"),
    ("raise SystemExit(3)", "hooks.py, postprocess: SystemExit: 3 (line 3)"),
    ("return object()", "a object, which JSON has no form for"),
    ("return {'n': 10 ** 5000}", "a int, which JSON has no form for"),
    ("return {'x': {1, 2}}", "a set, which JSON has no form for"),
])
def test_what_a_hook_raises_is_that_requests_failure(tmp_path: Path, body: str, told: str) -> None:
    with pytest.raises(InferenceFailed) as raised:
        result(tmp_path, "def postprocess(outputs, context):\n"
                         f"    if context.image_size != (60, 40): return []\n    {body}")
    assert told in str(raised.value)


@pytest.mark.parametrize(("hooks", "told"), [
    ("def postprocess(:", "SyntaxError"), ("import nowhere_to_be_found", "ModuleNotFoundError"),
    ("raise SystemExit", "SystemExit"), ("x = 1", "neither preprocess"),
    ("def preprocess(image): return image", "cannot predict a test image"),
])
def test_hooks_that_cannot_work_fail_the_model_with_a_reason(tmp_path: Path, hooks: str, told: str) -> None:
    classifier(tmp_path / "odd" / "model.onnx")
    (tmp_path / "odd" / "hooks.py").write_text(hooks)
    with pytest.raises(ModelNotUsable, match=told):
        loaded(tmp_path)


def test_numpy_values_become_those_of_json() -> None:
    values = {"a": np.float32(0.5), "b": np.arange(3), 1: [np.True_, None, "x"], "nan": [np.nan, float("inf")]}
    assert orjson.loads(as_json(plain(values))) == {
        "a": 0.5, "b": [0, 1, 2], "1": [True, None, "x"], "nan": [None, None]}


@pytest.mark.parametrize("values", [
    np.array([[1, np.nan], [0.1, -np.inf]], np.float32), np.array([0.5, np.nan], np.float16), np.ones((2, 0)),
    np.array([1, 2], ">i4"), np.arange(12, dtype=np.uint8).reshape(3, 4)[:, ::2], np.array([True, False]),
    np.array(7.5), np.array(["a", None], object), np.float32("nan"), np.float16(0.5)])
def test_every_form_of_array_is_written(values: np.ndarray) -> None:
    assert orjson.loads(as_json({"x": plain(values)})) == {"x": json.loads(json.dumps(shortest(values.tolist())))}


def shortest(value: Any) -> Any:
    """Numbers as those of FP32, none for those that are none."""
    if isinstance(value, list):
        return [shortest(item) for item in value]
    if isinstance(value, float):
        return float(str(np.float32(value))) if np.isfinite(value) else None
    return value


def test_a_large_array_stays_an_array() -> None:
    found = plain({"x": [np.zeros((3, 4), np.float32), np.ones((3, 4), np.longdouble)]})
    assert [values.dtype for values in found["x"]] == [np.float32, np.float64]


def test_values_of_classes_of_their_own_become_those_of_json() -> None:
    class Kind(StrEnum):
        LEAF = "leaf"

    class Old(str, Enum):  # noqa: UP042 - as many have it
        RIPE = "ripe"

    class Half(float):
        """As some libraries derive from it."""

    class Level(IntEnum):
        HIGH = 3

    result = plain({Old.RIPE: [Kind.LEAF, Old.RIPE, Half(0.5), Level.HIGH]})
    assert pickle.loads(pickle.dumps(result)) == {"ripe": ["leaf", "ripe", 0.5, 3]}
    assert [*map(type, result), *map(type, result["ripe"])] == [str, str, str, float, int]
