"""Three planes as large as the image are its colours, or the scores of three classes: by what they show."""

from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, helper, numpy_helper

from inference.errors import ModelNotUsable
from inference.spec import ModelSpec
from tests.answering import saved
from tests.unit.predicting import loaded
from tests.unit.test_test_images import put

VALUES = "[input]\nmean = 0"
SIDE = 96


def spec_of(folder: Path, *nodes: NodeProto, output: str = "y", labels: str = "", **weights: object) -> ModelSpec:
    arrays = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()]
    saved(put(folder / "m", VALUES, labels), list(nodes), arrays, {"x": (1, 3, SIDE, SIDE)},
          {output: (1, 3, SIDE, SIDE)})
    return loaded(folder).spec


def mixed(seed: int, gain: float) -> np.ndarray:
    """Weights of a convolution, as of a network that is not trained: each plane has some of all colours."""
    return np.random.default_rng(seed).normal(size=(3, 3, 3, 3)) * gain


def convolved(output: str = "y") -> NodeProto:
    return helper.make_node("Conv", ["x", "k"], [output], pads=[1, 1, 1, 1])


def test_an_image_like_the_posted_one_is_an_image(tmp_path: Path) -> None:
    kernel = np.zeros((3, 3, 3, 3))
    kernel[range(3), range(3)] = 1 / 9
    spec = spec_of(tmp_path, convolved(), k=kernel)
    assert (spec.task, spec.warnings) == ("image-to-image", ())


def test_an_image_in_the_other_order_of_colours_is_an_image(tmp_path: Path) -> None:
    kernel = np.zeros((3, 3, 3, 3))
    kernel[range(3), (2, 1, 0), 1, 1] = 1
    assert spec_of(tmp_path, convolved(), k=kernel).task == "image-to-image"


@pytest.mark.parametrize("op", ["Tanh", "Clip"])
def test_what_a_generator_ends_in_makes_an_image(tmp_path: Path, op: str) -> None:
    nodes = [convolved("planes"), helper.make_node(op, ["planes", "low", "high"][:3 if op == "Clip" else 1], ["y"])]
    assert spec_of(tmp_path, *nodes, k=mixed(5, 0.1), low=0.0, high=1.0).task == "image-to-image"


def test_logits_of_three_classes_are_a_segmentation_with_a_warning(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, convolved(), k=mixed(5, 4))
    assert (spec.task, spec.labels) == ("image-segmentation", ("0", "1", "2"))
    assert "its three planes look like no image" in " ".join(spec.warnings)


def test_scores_that_sum_to_1_are_a_segmentation(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, convolved("logits"), helper.make_node("Softmax", ["logits"], ["y"], axis=1), k=mixed(5, 1))
    assert (spec.task, spec.output.activation) == ("image-segmentation", "none")


def test_an_output_called_logits_is_a_segmentation(tmp_path: Path) -> None:
    assert spec_of(tmp_path, convolved("logits"), output="logits", k=mixed(5, 0.05)).task == "image-segmentation"


def test_labels_prove_classes(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, convolved(), k=mixed(5, 0.05), labels="a\nb\nc")
    assert (spec.task, spec.labels, spec.warnings) == ("image-segmentation", ("a", "b", "c"), ())


def test_small_numbers_that_may_be_either_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsable, match="task cannot be found out: add task = \"image-segmentation\""):
        spec_of(tmp_path, convolved(), k=mixed(5, 0.05))
