"""docs/models.md is true: keys, values, parameters and examples are those of the code."""

import dataclasses
import inspect
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from inference import hook_tools
from inference.hooks import Context
from inference.model_toml import ModelToml, SizeTable
from inference.parameters import PARAMETERS, InstanceParameters, MaskQueryParameters
from tests.unit.images import encode
from tests.unit.predicting import loaded, result

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = (DOCS / "models.md").read_text("utf-8")
API = (DOCS / "api.md").read_text("utf-8")
HOOKS_LINES = 25
SIDE, STRIDE = 64, 4  # pixels of the example's input, and of a cell of its heat map
LABELS = ("person", "bicycle")
IMAGE_SIZE = (100, 60)
Key = tuple[str, ...]
CHOSEN: Mapping[str, Key] = {"parameters": ("strength",)}


def section(heading: str, document: str = DOCUMENT) -> str:
    """The text below a heading, up to the next of its rank or a higher one."""
    rank = heading.index(" ")
    return re.split(rf"^#{{1,{rank}}} ", document.split(f"\n{heading}\n")[1], flags=re.MULTILINE)[0]


def blocks(language: str, text: str = DOCUMENT) -> list[str]:
    """The code blocks of a language; what follows the language on its line is a name."""
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# model.toml


def tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """The tables that a key may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from tables(part)


def keys(table: type[BaseModel], above: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every key below a table, with its path; of tables whose names a person chooses the reference has one."""
    for name, field in table.model_fields.items():
        yield (*above, name), field
        for inner in tables(field.annotation):
            yield from keys(inner, (*above, name, *CHOSEN.get(name, ())))


def literals(annotation: Any) -> Iterator[str]:
    """The words that a key may have."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    elif typing.get_origin(annotation) in (UnionType, typing.Union):
        for part in typing.get_args(annotation):
            yield from literals(part)


def reference() -> str:
    """The block that has every key."""
    [block] = blocks("toml", section("## model.toml"))
    return block


def line_of(key: Key) -> str:
    """The line of the reference that sets a key, with the comment that goes on below it."""
    table = ".".join(key[:-1])
    keys_of_table = re.split(r"^\[", f"[]\n{reference()}".split(f"[{table}]", 1)[1], flags=re.MULTILINE)[0]
    found = re.search(rf"^{key[-1]} = .*\n(?: +# .*\n)*", keys_of_table, re.MULTILINE)
    assert found is not None
    return re.sub(r"\n +#", "", found[0])


def holds(content: Mapping[str, Any], key: Key) -> bool:
    for name in key:
        if not isinstance(content, Mapping) or name not in content:
            return False
        content = content[name]
    return True


@pytest.mark.parametrize("key", [key for key, _ in keys(ModelToml)], ids=".".join)
def test_every_key_of_model_toml_is_documented(key: Key) -> None:
    assert holds(tomllib.loads(reference()), key)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, field in keys(ModelToml)
                                            for value in literals(field.annotation)])
def test_every_allowed_value_stands_beside_its_key(key: Key, value: str) -> None:
    assert re.search(rf"(# |\| ){re.escape(value)}(?= \(| \||:|;|\n|$)", line_of(key))


def test_literals_and_tables_are_found() -> None:
    found = dict(keys(ModelToml))
    assert list(literals(found["output", "units"].annotation)) == ["pixels", "normalised"]
    assert list(tables(found["input", "size"].annotation)) == [SizeTable]


# Tasks


@pytest.mark.parametrize(("row", "parameters"), [
    *((f"`{name}`", parameters) for name, parameters in PARAMETERS.items()),
    ("`image-segmentation` of objects", InstanceParameters),
    ("`image-segmentation` by queries", MaskQueryParameters)])
def test_every_parameter_of_a_task_is_documented_with_its_default(row: str, parameters: type[BaseModel]) -> None:
    [line] = [line for line in section("## Tasks").splitlines() if line.startswith(f"| {row} |")]
    cell = line.split(" | ")[2]
    documented = dict(re.findall(r"`(\w+)` \(([^)]*)\)", cell))
    assert documented == {name: "none" if field.default is None else f"{field.default:g}"
                          for name, field in parameters.model_fields.items()}


@pytest.mark.parametrize(("row", "parameters"), [
    *((f"`{name}`", parameters) for name, parameters in PARAMETERS.items()),
    ("the same, of objects", InstanceParameters), ("the same, by queries", MaskQueryParameters)])
def test_every_parameter_of_a_task_stands_in_the_table_of_post_predict(row: str, parameters: type[BaseModel]) -> None:
    text = section("## POST /predict", API)
    [line] = [line for line in text.splitlines() if line.startswith(f"| {row} |")]
    assert {*re.findall(r"`(\w+)`", line.split("|")[2]), "tile"} == {*parameters.model_fields, "tile"}
    assert "All but `tensor`, depth and segmentation by queries also take `tile`" in text
    untiled = ("`tensor`", "`depth-estimation`", "the same, by queries")
    assert ("tile" in parameters.model_fields) == (row not in untiled)


# hooks.py


@pytest.mark.parametrize("name", [name for name, made in vars(hook_tools).items()
                                  if getattr(made, "__module__", "") == hook_tools.__name__])
def test_what_a_hook_may_call_is_documented_with_its_parameters(name: str) -> None:
    signature = inspect.signature(getattr(hook_tools, name))
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    told = signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)
    assert f"`{name}{told}`" in section("## hooks.py")


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Context)])
def test_all_that_a_hook_is_told_is_documented(name: str) -> None:
    assert re.search(rf"`{name}[`(]", section("## hooks.py"))


# Examples


def save(folder: Path, nodes: list[onnx.NodeProto], weights: Mapping[str, NDArray], image: list[int | str],
         outputs: Mapping[str, tuple[int, list[int | str]]]) -> Path:
    """A model of one input "image"; outputs by name, each with its type and shape."""
    graph = helper.make_graph(
        nodes, "example", [helper.make_tensor_value_info("image", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def predicted(models: Path, image: Image.Image, **parameters: object) -> list[dict]:
    """By the only model of a folder."""
    return result(loaded(models), encode(image, "PNG"), **parameters)["predictions"]


def noise() -> Image.Image:
    pixels = np.random.default_rng(2).integers(0, 256, (IMAGE_SIZE[1] // 5, IMAGE_SIZE[0] // 5, 3), np.uint8)
    return Image.fromarray(pixels).resize(IMAGE_SIZE, Image.Resampling.BICUBIC)


def random(*shape: int, spread: float = 0.4) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).normal(0, spread, shape).astype(np.float32)


def heads(folder: Path) -> Path:
    """A heat map per class, widths and heights of 0..6 cells, offsets of 0..1 cells."""
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, NDArray] = {}
    outputs: dict[str, tuple[int, list[int | str]]] = {}
    for name, channels, largest in (("heat", len(LABELS), 1), ("sizes", 2, 6), ("offsets", 2, 1)):
        weights |= {f"{name}_weights": random(channels, 3, STRIDE, STRIDE),
                    f"{name}_largest": np.array(largest, np.float32)}
        nodes += [helper.make_node("Conv", ["image", f"{name}_weights"], [f"{name}_map"], strides=[STRIDE, STRIDE]),
                  helper.make_node("Sigmoid", [f"{name}_map"], [f"{name}_share"]),
                  helper.make_node("Mul", [f"{name}_share", f"{name}_largest"], [name])]
        outputs[name] = TensorProto.FLOAT, [1, channels, SIDE // STRIDE, SIDE // STRIDE]
    return save(folder, nodes, weights, [1, 3, SIDE, SIDE], outputs)


def expected_boxes(model: Path, threshold: float, top_k: int) -> list[tuple[str, float, list[float]]]:
    """Label, score and box of every cell that no neighbour exceeds, one by one."""
    pixels = np.asarray(noise().resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32) / 255
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    heat, sizes, offsets = (values[0] for values in session.run(None, {"image": pixels.transpose(2, 0, 1)[None]}))
    across, down = IMAGE_SIZE[0] / SIDE, IMAGE_SIZE[1] / SIDE
    found = []
    for (label, row, column), score in np.ndenumerate(heat):
        near = heat[label, max(row - 1, 0):row + 2, max(column - 1, 0):column + 2]
        if score < threshold or score < near.max():
            continue
        x, y = (column + offsets[0, row, column]) * STRIDE, (row + offsets[1, row, column]) * STRIDE
        width, height = sizes[0, row, column] * STRIDE, sizes[1, row, column] * STRIDE
        box = [max((x - width / 2) * across, 0), max((y - height / 2) * down, 0),
               min((x + width / 2) * across, IMAGE_SIZE[0]), min((y + height / 2) * down, IMAGE_SIZE[1])]
        found.append((LABELS[label], float(score), [float(side) for side in box]))
    return sorted(found, key=lambda item: -item[1])[:top_k]


@pytest.mark.parametrize(("asked", "threshold", "top_k"), [
    ({}, 0.3, 300), ({"threshold": 0.6, "top_k": 4}, 0.6, 4), ({"threshold": 0}, 0, 300)])
def test_the_hooks_example_gives_the_reference_boxes(tmp_path: Path, asked: dict[str, object], threshold: float,
                                                     top_k: int) -> None:
    text, model = section("## hooks.py"), heads(tmp_path / "odd")
    [hooks], [toml] = blocks("python", text), blocks("toml", text)
    (tmp_path / "odd" / "hooks.py").write_text(hooks)
    (tmp_path / "odd" / "model.toml").write_text(toml)
    expected = expected_boxes(model, threshold, top_k)
    predictions = predicted(tmp_path, noise(), **asked)
    assert 3 < len(expected) == len(predictions)
    for prediction, (label, score, box) in zip(predictions, expected, strict=True):
        assert (prediction["label"], prediction["score"]) == (label, pytest.approx(score, abs=1e-5))
        assert list(prediction["box"].values()) == pytest.approx(box, abs=1e-2)


def test_the_hooks_example_is_short() -> None:
    [hooks] = blocks("python", section("## hooks.py"))
    assert len(hooks.splitlines()) <= HOOKS_LINES


def torchvision_detector(folder: Path) -> None:
    """One box that is always found, at the pixels where it is put."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
             helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
             helper.make_node("Add", ["box", "zero"], ["boxes"]),
             helper.make_node("Identity", ["score"], ["scores"]), helper.make_node("Identity", ["class"], ["labels"])]
    weights = {"nothing": np.array(0, np.float32), "box": np.array([[10, 20, 90, 50]], np.float32),
               "score": np.array([0.75], np.float32), "class": np.array([2])}
    save(folder, nodes, weights, [1, 3, "height", "width"],
         {"boxes": (TensorProto.FLOAT, ["found", 4]), "scores": (TensorProto.FLOAT, ["found"]),
          "labels": (TensorProto.INT64, ["found"])})


def test_a_torchvision_detector_works_with_its_labels_alone(tmp_path: Path) -> None:
    torchvision_detector(tmp_path / "found")
    (tmp_path / "found" / "labels.txt").write_text("\n".join(("__background__", *LABELS)))
    assert predicted(tmp_path, noise()) == [
        {"label": "bicycle", "score": 0.75, "box": {"xmin": 10, "ymin": 20, "xmax": 90, "ymax": 50}}]


def test_a_keras_classifier_works_with_the_lines_of_the_document(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2], keepdims=0),
             helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
             helper.make_node("Softmax", ["logits"], ["output_0"])]
    weights = random(3, len(LABELS), spread=4)
    save(tmp_path / "leaf", nodes, {"weights": weights}, ["batch", SIDE, SIDE, 3],
         {"output_0": (TensorProto.FLOAT, ["batch", len(LABELS)])})
    [toml] = blocks("toml", section("### Keras"))
    (tmp_path / "leaf" / "model.toml").write_text(toml)
    pixels = np.asarray(noise().resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
    powers = np.exp((pixels / 127.5 - 1).mean(axis=(0, 1)) @ weights)
    scores = {prediction["label"]: prediction["score"] for prediction in predicted(tmp_path, noise())}
    assert [scores["0"], scores["1"]] == pytest.approx(powers / powers.sum(), abs=1e-4)
