"""Which pixels the networks of keras.applications were trained with, by the names of their layers.

Their preprocess_input stands outside of most models: https://keras.io/api/applications.
"""

from typing import Any

from inference.findings.sources import IMAGENET
from inference.onnx_graph import TF2ONNX
from inference.spec import Interface

MINUS_1_TO_1: dict[str, Any] = {"scale": 1 / 127.5, "mean": 1.0, "std": 1.0}
CAFFE: dict[str, Any] = {"color": "BGR", "scale": 1.0, "mean": (103.939, 116.779, 123.68), "std": 1.0}
# Words in the names of operators: the model's own name, or layers that no family before has.
FAMILIES: tuple[tuple[str, tuple[str, ...], dict[str, Any]], ...] = (
    ("MobileNet", ("mobilenet", "expanded_conv_", "conv_dw_1"), MINUS_1_TO_1),
    ("Inception", ("inception", "mixed0", "mixed_5b"), MINUS_1_TO_1),
    ("Xception", ("xception", "block2_sepconv1"), MINUS_1_TO_1),
    ("NASNet", ("nasnet",), MINUS_1_TO_1),
    ("DenseNet", ("densenet", "conv2_block1_concat"), dict(IMAGENET)),
    ("ResNetV2", ("conv2_block1_preact",), MINUS_1_TO_1),
)
# Their words are those of other libraries, too.
CAFFE_FAMILIES = (("ResNet", ("resnet", "conv2_block1_3_bn")), ("VGG", ("vgg", "block1_conv2")))


def keras_family(model: Interface) -> tuple[str, dict[str, Any]] | None:
    """The family's name, and what its pixels are; None where no name of an operator tells one."""
    others = tuple((name, words, CAFFE) for name, words in CAFFE_FAMILIES) if model.exporter == TF2ONNX else ()
    for name, words, facts in (*FAMILIES, *others):
        if any(map(model.graph.mentions, words)):
            return name, facts
    return None
