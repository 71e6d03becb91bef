"""hooks.py: a model's own preprocessing and postprocessing."""

import json
import pickle
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from onnx import helper, numpy_helper

from inference.drawing import painters
from inference.errors import InferenceFailed, ModelNotUsable
from inference.hooks import plain
from inference.spec import ModelSpec
from predictors.server import as_json
from tests.answering import saved
from tests.onnx_models import classifier, classifier_logits
from tests.unit import predicting
from tests.unit.images import photo
from tests.unit.images import plain as plain_image
from tests.unit.predicting import loaded


def result(folder: Path, hooks: str, toml: str = "", **parameters: object) -> dict:
    """What a classifier of 32 pixels with these hooks makes of a 60x40 image."""
    classifier(folder / "odd" / "model.onnx")
    (folder / "odd" / "hooks.py").write_text(hooks)
    (folder / "odd" / "model.toml").write_text(toml)
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


ROWS = """
import numpy as np
from inference.hook_tools import boxes_of, nms, sigmoid, softmax
ROWS = np.array([[[8, 16, 16, 32, 0.9, 0.1], [8, 16, 16, 30, 0.8, 0.1], [24, 16, 8, 8, 0.2, 0.7]]])
"""


@pytest.mark.parametrize(("asked", "scores"), [({}, [0.9, 0.7]), ({"threshold": 0.8}, [0.9])])
def test_a_hook_lets_a_built_in_task_read_its_rows(tmp_path: Path, asked: dict, scores: list[float]) -> None:
    found = result(tmp_path, ROWS + """
def postprocess(outputs, context):
    return context.decode({"rows": ROWS}, "object-detection", columns="box scores", boxes="cxcywh")
""", 'task = "object-detection"', **asked)
    assert [one["score"] for one in found["predictions"]] == scores
    assert found["predictions"][0] == {"label": "0", "score": 0.9,
                                       "box": {"xmin": 0.0, "ymin": 0.0, "xmax": 30.0, "ymax": 40.0}}


def test_a_hook_calls_the_suppression_and_the_decoders_of_boxes(tmp_path: Path) -> None:
    found = result(tmp_path, ROWS + """
def postprocess(outputs, context):
    boxes = boxes_of(ROWS[0, :, :4], "cxcywh", context.input_size)
    kept = nms(boxes, ROWS[0, :, 4:].max(axis=1), iou=0.5)
    cells = boxes_of(np.zeros((4, 64)), "dfl", context.input_size, strides=(16,))
    return {"kept": kept, "box": context.to_image(boxes[kept])[0], "first": cells[0],
            "sigmoid": sigmoid(0), "softmax": softmax([0, 0])}
""")
    assert found["kept"] == [0, 2]
    assert found["box"] == [0, 0, 30, 40]
    assert found["first"] == [8 - 7.5 * 16, 8 - 7.5 * 16, 8 + 7.5 * 16, 8 + 7.5 * 16]
    assert (found["sigmoid"], found["softmax"]) == (0.5, [0.5, 0.5])


@pytest.mark.parametrize(("keys", "told"), [
    ('colums="box scores"', "colums: there is no such key"), ('boxes="xywy"', "boxes: expected"),
    ('columns="scores box", boxes="dfl"', "bins: how many numbers"),
    ('columns="box scores class"', "columns: expected")])
def test_a_wrong_key_of_a_hooks_call_is_told(tmp_path: Path, keys: str, told: str) -> None:
    with pytest.raises(ModelNotUsable, match=told):
        result(tmp_path, f"{ROWS}\ndef postprocess(outputs, context):\n"
                         f"    return context.decode({{'rows': ROWS}}, 'object-detection', {keys})")


@pytest.mark.parametrize("picture", [
    "np.full((20, 30, 3), (255, 0, 0), np.uint8)", "{'image': np.full((20, 30, 3), (255, 0, 0), np.uint8), 'note': 1}",
    "Image.new('RGB', (30, 20), (255, 0, 0))"])
def test_a_picture_is_told_as_image_to_image(tmp_path: Path, picture: str) -> None:
    found = result(tmp_path, f"""
import numpy as np
from PIL import Image
def postprocess(outputs, context):
    return {picture}
""")
    assert (found["task"], found["width"], found["height"]) == ("image-to-image", 30, 20)
    assert ("note" in found) == ("note" in picture)
    drawn = painters.draw(plain_image((60, 40)), found)
    assert (drawn.size, drawn.getpixel((5, 5))) == ((30, 20), (255, 0, 0))


def test_a_grey_picture_is_a_picture_of_one_channel(tmp_path: Path) -> None:
    found = result(tmp_path, "import numpy as np\ndef postprocess(o, c): return np.full((2, 3), 128, np.uint8)")
    assert painters.draw(plain_image(), found).getpixel((0, 0)) == (128, 128, 128)


def test_an_array_that_is_no_picture_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsable, match=r"a picture is an array .* this is \[3, 4, 4\] float32"):
        result(tmp_path, "import numpy as np\ndef postprocess(o, c): return np.zeros((3, 4, 4), np.float32)",
               'task = "image-to-image"')


# Inputs of their own


def own_input(tmp_path: Path, shapes: dict[str, tuple], preprocess: str, toml: str = "") -> ModelSpec:
    """A model that adds up all numbers of its inputs."""
    nodes = [helper.make_node("ReduceSum", [name], [f"sum of {name}"], keepdims=0) for name in shapes]
    nodes += [helper.make_node("Sum", [f"sum of {name}" for name in shapes], ["sum"]),
              helper.make_node("Reshape", ["sum", "form"], ["out"])]
    saved(tmp_path / "odd" / "model.onnx", nodes, [numpy_helper.from_array(np.array([1, 1]), "form")], shapes,
          {"out": (1, 1)})
    (tmp_path / "odd" / "hooks.py").write_text("import numpy as np\ndef preprocess(image):\n    return " + preprocess)
    (tmp_path / "odd" / "model.toml").write_text(toml or 'task = "tensor"')
    model = loaded(tmp_path)
    [output] = predicting.result(model, photo((60, 40)))["outputs"]
    assert output["data"].tolist() == pytest.approx([6], abs=1e-4)
    return model.spec


@pytest.mark.parametrize(("shapes", "preprocess"), [
    ({"frames": (1, 2, 3, 8, 8)}, "np.full((1, 2, 3, 8, 8), 6 / 384, np.float32)"),
    ({"bands": (1, 4, 8, 8)}, "np.full((1, 4, 8, 8), 6 / 256, np.float32)"),
    ({"numbers": ("batch", 6)}, "np.ones((1, 6), np.float32)"),
    ({"image": (1, 3, "height", "width")}, "np.full((1, 3, 2, 1), 1, np.float32)"),
    ({"left": (1, 3, 8, 8), "right": (1, 3, 8, 8)}, "{n: np.full((1, 3, 8, 8), 3 / 192, np.float32) for n in "
                                                   "('left', 'right')}"),
    ({"image": (1, 3, 8, 8), "more": (1, 5)}, "{'image': np.full((1, 3, 8, 8), 1 / 192, np.float32), "
                                             "'more': np.ones((1, 5), np.float32)}")])
def test_an_input_that_a_hook_makes_is_believed(tmp_path: Path, shapes: dict, preprocess: str) -> None:
    spec = own_input(tmp_path, shapes, preprocess)
    assert spec.warnings == ()
    assert not {finding.fact for finding in spec.findings} & {"mean", "std", "scale", "color", "resize"}


def test_an_input_that_a_hook_forgets_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsable, match="preprocess: input more has no value"):
        own_input(tmp_path, {"image": (1, 3, 8, 8), "more": (1, 5)}, "np.zeros((1, 3, 8, 8), np.float32)")


@pytest.mark.parametrize(("body", "told"), [
    ("raise ValueError('odd image')", "hooks.py, postprocess: odd image (line 3)"),
    ("raise SystemExit(3)", "hooks.py, postprocess: it leaves the process (line 3)"),
    ("return object()", "a object, which JSON has no form for"),
    ("return {'n': 10 ** 5000}", "a int, which JSON has no form for"),
    ("return {'x': {1, 2}}", "a set, which JSON has no form for"),
    ("return {}['a']", "hooks.py, postprocess: there is no key 'a' (line 3)"),
    ("raise ValueError", "hooks.py, postprocess: it fails without a text (line 3)"),
    ("import json; json.loads('{')", "(line 3)"),
    ("return ['x' * 1000] * 80_000", "the result has more than 64 MB"),
    ("found = []; found.append(found); return found", "nested too deep"),
])
def test_what_a_hook_raises_is_that_requests_failure(tmp_path: Path, body: str, told: str) -> None:
    with pytest.raises(InferenceFailed) as raised:
        result(tmp_path, "def postprocess(outputs, context):\n"
                         f"    if context.image_size != (60, 40): return []\n    {body}")
    assert told in str(raised.value)


@pytest.mark.parametrize(("hooks", "told"), [
    ("def postprocess(:", r"hooks.py cannot be run: [^:]*\(hooks.py, line 1\)$"),
    ("\nimport nowhere_to_be_found", r"No module named 'nowhere_to_be_found' \(line 2\)"),
    ("raise SystemExit", "it leaves the process"), ("x = 1", "neither preprocess"),
    ("\n\ndef postprocess(outputs): return []", r"postprocess\(\) takes 1 positional .* \(line 3\)$"),
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
