"""What onnxruntime refuses is told plainly; the files are real, so that its wording is today's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.errors import ModelNotUsable
from inference.onnx_errors import plain
from inference.session import Session
from tests.onnx_models import classifier


def put(path: Path, operator: str = "Relu", opset: int = 17, ir_version: int = 9, domain: str = "",
        kind: int = TensorProto.FLOAT) -> None:
    values = [helper.make_tensor_value_info(name, kind, [1, 3, 8, 8]) for name in ("x", "y")]
    node = helper.make_node(operator, ["x", "w"] if operator == "Conv" else ["x"], ["y"], domain=domain)
    weights = [numpy_helper.from_array(np.zeros((3, 3, 1, 1)), "w")] if operator == "Conv" else []
    opsets = [helper.make_opsetid(name, number) for name, number in {"": opset, domain: opset}.items()]
    graph = helper.make_graph([node], "odd", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), path)


def put_with_weights_beside(path: Path) -> Path:
    onnx.save(onnx.load(classifier(path)), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path.parent / "weights.bin"


@pytest.mark.parametrize(("make", "told"), [
    (lambda path: path.write_bytes(classifier(path).read_bytes()[:100]), "truncated, or no ONNX file at all: copy"),
    (lambda path: path.write_text("<html>not found</html>"), "truncated, or no ONNX file at all"),
    (lambda path: put(path, "Mystery", domain="com.example"), "the custom operator com.example:Mystery"),
    (lambda path: put(path, "NotAnOperator"), "the operator NotAnOperator, which opset 17 does not have"),
    (lambda path: put(path, "Conv", kind=TensorProto.DOUBLE), "cannot compute its operator Conv"),
    (lambda path: put(path, ir_version=90), "its IR version 90 is newer"),
    (lambda path: put(path, opset=90), "its opset 90 is newer"),
    (lambda path: put_with_weights_beside(path).unlink(), "its weights weights.bin are missing"),
    (lambda path: put_with_weights_beside(path).write_bytes(b"x"), "the file with its weights is truncated"),
], ids=["truncated", "html", "custom operator", "no operator", "no kernel", "IR", "opset", "no weights", "few weights"])
def test_a_file_that_cannot_be_loaded_is_told_in_one_plain_sentence(tmp_path: Path, make: Callable[[Path], object],
                                                                    told: str) -> None:
    make(tmp_path / "model.onnx")
    with pytest.raises(ModelNotUsable) as raised:
        Session(tmp_path / "model.onnx")
    sentence = str(raised.value)
    assert sentence.startswith("model.onnx cannot be loaded: ")
    assert told in sentence
    assert not any(inside in sentence for inside in ("\n", "/", "[ONNXRuntimeError]"))


def test_what_is_not_known_is_told_without_the_inside() -> None:
    text = ("[ONNXRuntimeError] : 1 : FAIL : Load model from /srv/m.onnx failed:/src/core/graph.cc:12 "
            "void f(const std::string&) Something\nodd happened.")
    assert plain(text, "m.onnx") == ("m.onnx cannot be loaded: onnxruntime says 'Something odd happened': "
                                     "export it again")
