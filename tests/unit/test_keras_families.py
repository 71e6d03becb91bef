"""Which pixels a network of keras.applications gets, by the names that its layers have in the ONNX file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from inference.findings.keras_families import CAFFE, MINUS_1_TO_1, keras_family
from inference.findings.sources import IMAGENET
from inference.onnx_graph import TF2ONNX, Graph, Node
from inference.spec import Interface
from tests.answering import saved
from tests.unit.findings_helpers import source_of
from tests.unit.predicting import loaded


def named(*names: str, producer: str = TF2ONNX) -> Interface:
    return Interface((), (), {}, producer, Graph(tuple(Node("Conv", (), (), name) for name in names)))


@pytest.mark.parametrize(("name", "family", "pixels"), [
    ("resnet50_1/conv1_bn_1/batchnorm/mul_1", "ResNet", CAFFE),
    ("functional_1/conv2_block1_3_bn_1/batchnorm/mul_1", "ResNet", CAFFE),
    ("resnet50v2_1/conv2_block1_preact_bn_1/batchnorm/mul_1", "ResNetV2", MINUS_1_TO_1),
    ("functional_1/vgg16_1/block1_conv1_1/convolution", "VGG", CAFFE),
    ("functional_1/block1_conv2_1/convolution", "VGG", CAFFE),
    ("functional_1/block2_sepconv1_1/depthwise", "Xception", MINUS_1_TO_1),
    ("functional_1/expanded_conv_depthwise_1/depthwise", "MobileNet", MINUS_1_TO_1),
    ("densenet121_1/conv1_conv_1/convolution", "DenseNet", dict(IMAGENET)),
])
def test_a_layers_name_tells_the_family(name: str, family: str, pixels: dict[str, Any]) -> None:
    assert keras_family(named(name)) == (family, pixels)


def test_a_residual_network_of_another_library_is_not_kerass() -> None:
    assert keras_family(named("/resnet/layer1/Conv", producer="pytorch")) is None
    assert keras_family(named("functional_1/conv2d_1/convolution")) is None


def test_a_network_of_caffes_pixels_gets_them_with_a_warning(tmp_path: Path) -> None:
    """keras.applications.ResNet50 subtracts means from pixels in BGR outside of the model."""
    nodes = [helper.make_node("Transpose", ["keras_tensor"], ["planes"], perm=[0, 3, 1, 2]),
             helper.make_node("Conv", ["planes", "w"], ["maps"], name="resnet50_1/conv1_bn_1/batchnorm/mul_1"),
             helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
             helper.make_node("Flatten", ["pooled"], ["logits"]),
             helper.make_node("Softmax", ["logits"], ["predictions"])]
    weights = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    (tmp_path / "m").mkdir()
    saved(tmp_path / "m" / "model.onnx", nodes, [weights], {"keras_tensor": ("unk__1", 32, 32, 3)},
          {"predictions": ("unk__2", 4)}, producer=TF2ONNX)
    spec = loaded(tmp_path).spec
    assert (spec.input.color, spec.input.scale, spec.input.mean) == ("BGR", 1.0, CAFFE["mean"])
    assert source_of(spec, "mean") == "layers' names (ResNet)"
    assert "those of Keras' ResNet are assumed" in spec.warnings[0]
