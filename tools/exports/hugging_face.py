"""Exports of transformers' own exporter, with the processor's file beside them."""

from functools import partial
from pathlib import Path
from typing import Any

from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

from tools.exports.hugging_face_networks import COMMON, Network, exported
from tools.exports.making import Export
from tools.exports.torch_networks import pictures

NAMES = ("vit", "vit-one", "vit-regression", "vit-multi", "convnextv2", "resnet", "dinov2", "clip-vision",
         "detr-square", "rt-detr", "segformer", "mobilevit-segments", "dpt")


def _write(network: Network, model: Any, processor: Any, folder: Path) -> None:
    """The axes are open; the weights lie beside the graph."""
    inputs = dict(processor(images=[picture.resize(COMMON) for picture in pictures()[:2]], return_tensors="pt"))
    given = {name: values for name, values in inputs.items() if name.startswith("pixel_")}
    OnnxExporter().export(model, given, config=OnnxConfig(dynamic=True)).save_pretrained(folder)
    processor.save_pretrained(folder)


EXPORTS: dict[str, Export] = {name: partial(exported, name, _write) for name in NAMES}
