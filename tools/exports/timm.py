"""Exports of timm's networks by its own exporter, with and without the config.json of its repositories."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image, ImageOps
from timm.data import create_transform, resolve_model_data_config
from timm.models._hub import save_config_for_hf
from timm.utils.onnx import onnx_export
from torch import nn

from tools.exports.making import Ask, Export
from tools.exports.references import Answer, classes
from tools.exports.torch_networks import enliven, pictures, smooth

# The network, the arguments of its exporter, and whether config.json stands beside the export.
TABLE: Mapping[str, tuple[str, dict[str, Any], bool]] = {
    "resnet18": ("resnet18", {}, True), "resnet18-bare": ("resnet18", {}, False),
    "vit-tiny": ("vit_tiny_patch16_224", {}, True), "efficientnet-b0": ("efficientnet_b0", {}, True),
    "mobilenetv3": ("mobilenetv3_small_050", {"dynamic_size": True}, True),
    "convnext-atto": ("convnext_atto", {"use_dynamo": True, "external_data": True}, True),
    "regnety": ("regnety_002", {}, True)}
FEATURES = {"resnet10t-features": "resnet10t", "vit-tiny-features": "vit_tiny_patch16_224"}


def _export(name: str, arguments: dict[str, Any], has_config: bool, classes_: int, folder: Path) -> Ask:
    model = timm.create_model(name, pretrained=False, num_classes=classes_).eval()
    transform = create_transform(**resolve_model_data_config(model))
    seen = torch.stack([transform(picture) for picture in pictures()])
    last = model.get_classifier()
    smooth(model)
    enliven(model, lambda: model(seen), {last: (0.0, 1.0)} if isinstance(last, nn.Linear | nn.Conv2d) else {})
    onnx_export(model, str(folder / "model.onnx"), batch_size=1, **arguments)
    if has_config:
        save_config_for_hf(model, str(folder / "config.json"))
    return partial(_answer, model, transform, classes_)


def _answer(model: nn.Module, transform: Any, classes_: int, path: Path) -> Answer:
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    with torch.no_grad():
        numbers = model(transform(image).unsqueeze(0))[0]
    if not classes_:
        return Answer("image-feature-extraction", values=numbers.numpy())
    return classes({str(at): score for at, score in enumerate(numbers.softmax(0).tolist())})


EXPORTS: dict[str, Export] = {name: partial(_export, *made, 1000) for name, made in TABLE.items()}
EXPORTS |= {name: partial(_export, network, {}, True, 0) for name, network in FEATURES.items()}
