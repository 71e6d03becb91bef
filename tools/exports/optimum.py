"""Exports of `optimum-cli export onnx`: in the folder itself, or in onnx/ as the Hub's repositories have them."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from optimum.exporters.onnx import main_export

from tools.exports.hugging_face_networks import Network, exported
from tools.exports.making import Export

TASKS = {"semantic": "semantic-segmentation", "panoptic": "image-segmentation"}  # optimum's words; else as Punnet's
NAMES = ("vit", "deit", "beit", "resnet", "convnext", "regnet", "mobilenet-v1", "mobilenet-v2", "mobilevit", "swin",
         "levit", "poolformer", "dinov2", "dinov2-classes", "vit-features", "siglip-vision", "detr",
         "yolos", "rt-detr", "segformer", "dpt-segments", "maskformer",
         "dpt", "glpn")
IN_ONNX = {"vit", "resnet", "mobilevit", "dinov2", "detr", "segformer"}


def _write(in_onnx: bool, network: Network, model: Any, processor: Any, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        processor.save_pretrained(saved)
        main_export(saved, output=folder, task=TASKS.get(network.task, network.task), do_validation=False)
    if in_onnx:
        (folder / "onnx").mkdir()
        for file in folder.glob("*.onnx*"):
            file.rename(folder / "onnx" / file.name)


EXPORTS: dict[str, Export] = {name: partial(exported, name, partial(_write, name in IN_ONNX)) for name in NAMES}
