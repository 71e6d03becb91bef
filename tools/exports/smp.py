"""Exports of segmentation_models_pytorch by torch.onnx.export, with its preprocessing of ImageNet's encoders."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image, ImageOps
from segmentation_models_pytorch.encoders import preprocess_input
from torch import nn

from tools.exports.making import Ask, Export
from tools.exports.references import Answer, segments
from tools.exports.torch_networks import batch, enliven, smooth

SIDE = 128
# Of its encoders that are trained on ImageNet; its own function asks the Hub for them.
PREPROCESSING = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "input_range": [0, 1]}
# The network, its encoder, its arguments, and whether the older exporter writes it.
TABLE: Mapping[str, tuple[str, str, dict[str, Any], bool]] = {
    "unet-one": ("Unet", "resnet18", {"classes": 1}, True),
    "unet-sigmoid": ("Unet", "resnet18", {"classes": 1, "activation": "sigmoid"}, True),
    "unet": ("Unet", "resnet18", {"classes": 4}, True), "unet-dynamo": ("Unet", "resnet18", {"classes": 4}, False),
    "unet-softmax": ("Unet", "resnet18", {"classes": 4, "activation": "softmax2d"}, True),
    "fpn": ("FPN", "mobilenet_v2", {"classes": 5}, True), "linknet": ("Linknet", "resnet18", {"classes": 4}, True),
    "deeplabv3plus": ("DeepLabV3Plus", "resnet18", {"classes": 6}, True)}


def _export(network: str, encoder: str, arguments: dict[str, Any], is_older: bool, folder: Path) -> Ask:
    model = getattr(smp, network)(encoder, encoder_weights=None, **arguments)
    prepare = partial(preprocess_input, **PREPROCESSING)
    seen = torch.stack([_tensor(prepare(image.permute(1, 2, 0).numpy() * 255)) for image in batch((SIDE, SIDE))])
    smooth(model)
    enliven(model, lambda: model(seen), {model.segmentation_head[0]: (0.0, 2.0)})
    torch.onnx.export(model, (torch.rand(1, 3, SIDE, SIDE),), str(folder / "model.onnx"), input_names=["input"],
                      output_names=["output"], dynamo=not is_older)
    return partial(_answer, model, prepare, arguments.get("activation") is None)


def _tensor(pixels: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(pixels, np.float32)).permute(2, 0, 1)


def _answer(model: nn.Module, prepare: Any, are_logits: bool, path: Path) -> Answer:
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    pixels = prepare(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
    with torch.no_grad():
        found = model(_tensor(pixels).unsqueeze(0))
    whole = nn.functional.interpolate(found, size=image.size[::-1], mode="bilinear")[0].numpy()
    if len(whole) == 1:
        return segments((whole[0] <= (0 if are_logits else 0.5)).astype(int), {0: "0"})
    return segments(whole.argmax(0), {number: str(number) for number in range(len(whole))})


EXPORTS: dict[str, Export] = {name: partial(_export, *made) for name, made in TABLE.items()}
