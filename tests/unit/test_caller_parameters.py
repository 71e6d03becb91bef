"""Numbers of a model's own that a caller may set: further inputs, and what hooks.py reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from inference.errors import BadParameter, ModelNotUsable
from inference.model import LoadedModel
from inference.model_info import ModelInfo
from tests.unit import predicting
from tests.unit.images import photo
from tests.unit.predicting import loaded

TYPES = {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64, "BOOL": TensorProto.BOOL}
RANGED = "[parameters.strength]\ndefault = 0.5\nminimum = 0\nmaximum = 1\n"


def put(models: Path, toml: str = "", metadata: Mapping[str, str] | None = None, shape: tuple = (),
        datatype: str = "FP32", name: str = "strength", hooks: str = "") -> None:
    """A model whose answer is a further input, as it was fed."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
             helper.make_node("Cast", [name], ["number"], to=TensorProto.FLOAT),
             helper.make_node("Sub", ["mean", "mean"], ["nothing"]),
             helper.make_node("Add", ["number", "nothing"], ["out"])]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8]),
              helper.make_tensor_value_info(name, TYPES[datatype], list(shape))]
    graph = helper.make_graph(nodes, "test", inputs, [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    folder = models / "m"
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    (folder / "model.toml").write_text(f'task = "tensor"\n{toml}')
    if hooks:
        (folder / "hooks.py").write_text(hooks)


def fed(model: LoadedModel, **parameters: object) -> float:
    [output] = predicting.result(model, photo((8, 8)), **parameters)["outputs"]
    return round(output["data"].item(), 6)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), ("batch",)])
def test_a_caller_sets_a_further_input(tmp_path: Path, shape: tuple) -> None:
    put(tmp_path, RANGED, shape=shape)
    model = loaded(tmp_path)
    assert (fed(model), fed(model, strength=0.25), fed(model, strength="1")) == (0.5, 0.25, 1)


@pytest.mark.parametrize(("given", "told"), [
    ({"strength": 1.5}, "parameter 'strength'"), ({"strength": "much"}, "parameter 'strength'"),
    ({"strength": "nan"}, "parameter 'strength'"), ({"strength": True}, "not true or false"),
    ({"force": 1}, "unknown parameter 'force'.* strength")])
def test_a_wrong_value_is_a_bad_parameter(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    put(tmp_path, RANGED)
    with pytest.raises(BadParameter, match=told):
        loaded(tmp_path).parameters(given)


@pytest.mark.parametrize(("datatype", "default", "good", "bad"), [
    ("INT64", "3", "4", "4.5"), ("BOOL", "true", "false", "7"), ("FP32", "3", "4.5", "x")])
def test_a_parameter_has_the_type_of_its_input(tmp_path: Path, datatype: str, default: str, good: str,
                                               bad: str) -> None:
    put(tmp_path, f"[parameters.strength]\ndefault = {default}", datatype=datatype)
    model = loaded(tmp_path)
    assert fed(model) == float({"true": 1}.get(default, default))
    assert fed(model, strength=good) == float({"false": 0}.get(good, good))
    with pytest.raises(BadParameter):
        model.parameters({"strength": bad})


def test_a_parameter_may_have_another_name_than_its_input(tmp_path: Path) -> None:
    put(tmp_path, '[parameters.power]\ninput = "net/strength:0"\ndefault = 2', name="net/strength:0")
    assert fed(loaded(tmp_path), power=3) == 3


@pytest.mark.parametrize("value", ["0.5", '{"default": 0.5, "minimum": 0, "maximum": 1}'])
def test_what_the_metadata_announce_may_be_set(tmp_path: Path, value: str) -> None:
    put(tmp_path, metadata={"strength": value})
    model = loaded(tmp_path)
    assert (fed(model), fed(model, strength=0.75)) == (0.5, 0.75)
    assert ("parameters.strength", "ONNX metadata") in [(finding.fact, finding.source)
                                                        for finding in model.spec.findings]


@pytest.mark.parametrize("value", ["", "a lot", "[1]", "true", "null", '{"maximum": 1}'])
def test_metadata_that_tell_no_number_leave_the_input_asked_for(tmp_path: Path, value: str) -> None:
    put(tmp_path, metadata={"strength": value})
    with pytest.raises(ModelNotUsable, match=r"input strength \[\] FP32 needs a value"):
        loaded(tmp_path)


def test_a_constant_of_model_toml_is_nothing_to_set(tmp_path: Path) -> None:
    put(tmp_path, "[constants]\nstrength = 2", metadata={"strength": "0.5"})
    model = loaded(tmp_path)
    assert (fed(model), model.spec.parameters) == (2, ())


@pytest.mark.parametrize(("toml", "shape", "told"), [
    ("[parameters.force]\ndefault = 1", (), "parameters.force: the model has no further input of this name"),
    ("[parameters.strength]\ndefault = 1", (1, 5), "takes more than one number"),
    ("[parameters.strength]\ndefault = true", (), "default = True is not what it takes: write a number for strength"),
    ("[parameters.strength]\ndefault = 3\nmaximum = 1", (), "default = 3 is not what it takes.* to 1"),
    ("[parameters.strength]\nminimum = 3", (), "parameters.strength: write default, too"),
    ("[parameters.Strength]\ndefault = 3", (), "parameters.Strength: expected a name of small letters"),
    ('[parameters.outputs]\ndefault = 3\ninput = "strength"', (), "a request has another field of this name"),
    ('[parameters.mode]\ndefault = 3\ninput = "strength"', (), "a request has another field of this name"),
    ("[parameters.strength]\ndefault = 1\n[constants]\nstrength = 1", (), r"has a value below \[constants\]")])
def test_a_parameter_that_cannot_be_is_told(tmp_path: Path, toml: str, shape: tuple, told: str) -> None:
    put(tmp_path, toml, shape=shape)
    with pytest.raises(ModelNotUsable, match=told):
        loaded(tmp_path)


def test_hooks_read_what_a_caller_sets(tmp_path: Path) -> None:
    hooks = "def postprocess(outputs, context): return {'asked': context.parameters['blur'] + 1}"
    put(tmp_path, f"{RANGED}[parameters.blur]\ndefault = 3", hooks=hooks)
    model = loaded(tmp_path)
    assert predicting.result(model, photo((8, 8)))["asked"] == 4
    assert predicting.result(model, photo((8, 8)), blur=7)["asked"] == 8


def test_parameters_are_told_to_who_holds_no_model(tmp_path: Path) -> None:
    put(tmp_path, RANGED)
    info = ModelInfo.from_json(loaded(tmp_path).info.to_json())
    assert info.parameters({"strength": "0.25"}).model_dump(exclude_unset=True) == {"strength": 0.25}
