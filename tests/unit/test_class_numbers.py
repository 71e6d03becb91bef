"""Classifiers and segmenters that end in ArgMax or TopK tell classes by number."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from inference.errors import InferenceFailed, ModelNotUsable
from inference.findings.sources import LABELS_TXT
from inference.spec import ModelSpec
from tests.answering import IR_VERSION, OPSET
from tests.unit.findings_helpers import source_of
from tests.unit.images import encode
from tests.unit.predicting import loaded, result
from tests.unit.test_test_images import put

NAMES = "red\ngreen\nblue"
MEAN = helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0)


def classifier(folder: Path, *nodes: onnx.NodeProto, outputs: dict[str, tuple], labels: str = NAMES) -> ModelSpec:
    """What is found out of a model whose scores are the mean of each colour; `outputs` have a shape and a type."""
    told = [helper.make_tensor_value_info(name, kind, shape) for name, (shape, kind) in outputs.items()]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])
    weights = [numpy_helper.from_array(np.array([2]), "two")]
    model = helper.make_model(helper.make_graph(list(nodes), "test", [image], told, weights),
                              opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.save(model, put(folder / "m", "[input]\nmean = 0", labels))
    return loaded(folder).spec


def predictions(folder: Path, color: tuple[int, int, int], **parameters: object) -> list[tuple[str, float]]:
    found = result(loaded(folder), encode(Image.new("RGB", (80, 80), color), "PNG"), **parameters)
    return [(one["label"], one["score"]) for one in found["predictions"]]


@pytest.mark.parametrize(("keepdims", "shape", "kind"), [
    (0, [1], TensorProto.INT64), (1, [1, 1], TensorProto.INT64), (1, [1, 1], TensorProto.FLOAT)])
@pytest.mark.parametrize(("labels", "told"), [(NAMES, "green"), ("", "1")])
def test_a_class_number_is_one_label_of_score_1(tmp_path: Path, keepdims: int, shape: list[int], kind: int, labels: str,
                                               told: str) -> None:
    best = helper.make_node("ArgMax", ["mean"], ["best"], axis=1, keepdims=keepdims)
    cast = helper.make_node("Cast", ["best"], ["class"], to=kind)
    spec = classifier(tmp_path, MEAN, best, cast, outputs={"class": (shape, kind)}, labels=labels)
    assert (spec.task, spec.output.names, spec.warnings) == ("image-classification", {"classes": "class"}, ())
    assert predictions(tmp_path, (10, 200, 30)) == [(told, 1.0)]


def test_tiles_share_the_score_of_a_class_number(tmp_path: Path) -> None:
    classifier(tmp_path, MEAN, helper.make_node("ArgMax", ["mean"], ["class"], axis=1, keepdims=0),
               outputs={"class": ([1], TensorProto.INT64)}, labels="")
    assert predictions(tmp_path, (10, 20, 200), tile=64) == [("2", 1.0)]


def test_scores_beside_a_class_number_say_more(tmp_path: Path) -> None:
    """As scikit-learn and TensorFlow's estimators export: the class first, then probabilities."""
    nodes = (MEAN, helper.make_node("ArgMax", ["mean"], ["class"], axis=1, keepdims=0),
             helper.make_node("Softmax", ["mean"], ["scores"], axis=1))
    spec = classifier(tmp_path, *nodes, outputs={"class": ([1], TensorProto.INT64),
                                                 "scores": ([1, 3], TensorProto.FLOAT)})
    assert (spec.output.names, spec.output.activation) == ({"scores": "scores"}, "none")
    assert [label for label, _ in predictions(tmp_path, (10, 200, 30))] == ["green", "blue", "red"]


def test_the_best_classes_bear_the_scores_beside_them(tmp_path: Path) -> None:
    nodes = (MEAN, helper.make_node("Softmax", ["mean"], ["chances"], axis=1),
             helper.make_node("TopK", ["chances", "two"], ["values", "indices"], axis=1))
    spec = classifier(tmp_path, *nodes, outputs={"values": ([1, 2], TensorProto.FLOAT),
                                                 "indices": ([1, 2], TensorProto.INT64)})
    assert spec.output.names == {"classes": "indices", "scores": "values"}
    found = predictions(tmp_path, (10, 200, 30))
    assert [label for label, _ in found] == ["green", "blue"]
    assert 1 > found[0][1] > found[1][1] > 0


def test_a_class_number_without_a_label_says_so(tmp_path: Path) -> None:
    classifier(tmp_path, MEAN, helper.make_node("ArgMax", ["mean"], ["class"], axis=1, keepdims=0),
               outputs={"class": ([1], TensorProto.INT64)}, labels="")
    (tmp_path / "m" / LABELS_TXT).write_text("red\ngreen")
    with pytest.raises((ModelNotUsable, InferenceFailed), match="class \\[2\\], expected one of 0 to 1"):
        predictions(tmp_path, (10, 20, 200))


def test_a_number_for_each_pixel_is_a_segmentation(tmp_path: Path) -> None:
    best = helper.make_node("ArgMax", ["x"], ["class"], axis=1, keepdims=0)
    spec = classifier(tmp_path, best, outputs={"class": ([1, 64, 64], TensorProto.INT64)})
    assert (spec.task, spec.output.activation) == ("image-segmentation", "none")
    assert [label for label, _ in predictions(tmp_path, (10, 20, 200))] == ["blue"]


def test_a_number_for_each_pixel_is_one_in_fractions_too(tmp_path: Path) -> None:
    nodes = (helper.make_node("ArgMax", ["x"], ["best"], axis=1, keepdims=1),
             helper.make_node("Cast", ["best"], ["class"], to=TensorProto.FLOAT))
    spec = classifier(tmp_path, *nodes, outputs={"class": ([1, 1, 64, 64], TensorProto.FLOAT)})
    assert (spec.task, source_of(spec, "labels")) == ("image-segmentation", LABELS_TXT)
    assert [label for label, _ in predictions(tmp_path, (10, 20, 200))] == ["blue"]
