"""Models that take several images in one run."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.errors import ModelNotUsable
from inference.model import LoadedModel
from tests.onnx_models import classifier
from tests.unit.images import photo
from tests.unit.predicting import loaded, scores

IMAGE = photo((90, 60))


def assert_same_scores(one: LoadedModel, other: LoadedModel, **parameters: object) -> None:
    assert scores(one, IMAGE, **parameters) == pytest.approx(scores(other, IMAGE, **parameters), abs=1e-5)


def with_factor(path: Path, rows: int | str) -> None:
    """As `classifier`, its logits times a further input `k`, which is given as 1."""
    model = onnx.load(classifier(path))
    graph = model.graph
    graph.node[-1].output[0] = "plain"
    graph.node.append(helper.make_node("Mul", ["plain", "k"], ["logits"]))
    graph.input.append(helper.make_tensor_value_info("k", TensorProto.FLOAT, [rows, 1]))
    onnx.save(model, path)
    (path.parent / "model.toml").write_text("constants = {k = 1.0}\n[tiling]\nbatch = 4")


@pytest.fixture
def one(tmp_path: Path) -> LoadedModel:
    classifier(tmp_path / "one" / "model.onnx")
    return loaded(tmp_path, "one")


@pytest.mark.parametrize("batch", [2, 4, 5])
def test_a_fixed_batch_is_filled_up_and_gives_what_one_image_gives(tmp_path: Path, one: LoadedModel,
                                                                   batch: int) -> None:
    classifier(tmp_path / "many" / "model.onnx", batch=batch)
    many = loaded(tmp_path, "many")
    assert_same_scores(many, one)
    assert_same_scores(many, one, tile=32)


@pytest.mark.parametrize("rows", [1, "batch"])
def test_constants_have_a_row_for_each_image_where_their_rows_are_open(tmp_path: Path, one: LoadedModel,
                                                                       rows: int | str) -> None:
    with_factor(tmp_path / "scaled" / "model.onnx", rows)
    assert_same_scores(loaded(tmp_path, "scaled"), one, tile=32)


def test_outputs_that_do_not_tell_images_apart_are_refused(tmp_path: Path) -> None:
    """YOLOv7's rows [n, 7] of a batch of 2: cutting the first row out would lose the others in silence."""
    rows = numpy_helper.from_array(np.array([[0, 1, 1, 9, 9, 0, 0.9]] * 3, np.float32), "rows")
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
             helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
             helper.make_node("Add", ["rows", "nothing"], ["y"])]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [2, 3, 32, 32])
    found = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 7])
    graph = helper.make_graph(nodes, "rows", [image], [found],
                              [rows, numpy_helper.from_array(np.array(0, np.float32), "zero")])
    (tmp_path / "pairs").mkdir()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
              tmp_path / "pairs" / "model.onnx")
    with pytest.raises(ModelNotUsable, match="do not tell which is whose"):
        loaded(tmp_path)
