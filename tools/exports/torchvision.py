"""Exports of torchvision's networks by torch.onnx.export: nothing but the graph tells what they are."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision.models import segmentation
from torchvision.transforms import functional

from tools.exports.making import Ask, Export
from tools.exports.references import Answer, classes, segments
from tools.exports.torch_networks import batch, enliven, pictures, smooth

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CLASSIFIERS = {name: {"dynamo": name in ("resnet18", "efficientnet_b0")} for name in (
    "resnet18", "squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0", "regnet_y_400mf")}
OPEN = {"dynamic_axes": {"image": {2: "height", 3: "width"}}}
# Makes the network; its arguments and those of the exporter.
SEGMENTERS: Mapping[str, tuple[Callable[..., nn.Module], dict[str, Any]]] = {
    "lraspp": (segmentation.lraspp_mobilenet_v3_large, {}),
    "lraspp-open": (segmentation.lraspp_mobilenet_v3_large, OPEN),
    "deeplabv3": (segmentation.deeplabv3_mobilenet_v3_large, {"aux_loss": True})}


def _read(path: Path) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def _normalised(image: Image.Image, size: tuple[int, int] | None) -> Tensor:
    """(1, 3, height, width), in the size that is asked for."""
    sized = image if size is None else image.resize(size, Image.Resampling.BILINEAR)
    return functional.normalize(functional.to_tensor(sized), MEAN, STD).unsqueeze(0)


def _write(model: nn.Module, example: Any, folder: Path, outputs: list[str], **arguments: Any) -> None:
    torch.onnx.export(model, (example,), str(folder / "model.onnx"), input_names=["image"], output_names=outputs,
                      **{"dynamo": False} | arguments)


def _classifier(name: str, arguments: dict[str, Any], folder: Path) -> Ask:
    transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    model = torchvision.models.get_model(name, weights=None)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    last = next(layer for layer in layers[::-1] if 1000 in layer.weight.shape[:1])
    smooth(model)
    enliven(model, lambda: model(torch.stack([transform(picture) for picture in pictures()])), {last: (0.0, 1.0)})
    _write(model, torch.rand(1, 3, 224, 224), folder, ["output"], **arguments)

    def answer(path: Path) -> Answer:
        with torch.no_grad():
            scores = model(transform(_read(path)).unsqueeze(0))[0].softmax(0)
        return classes({str(at): score for at, score in enumerate(scores.tolist())})
    return answer


def _segmenter(make: Callable[..., nn.Module], arguments: dict[str, Any], folder: Path) -> Ask:
    given = {key: value for key, value in arguments.items() if key == "aux_loss"}
    model = make(weights=None, weights_backbone=None, **given)
    heads = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d) and layer.out_channels == 21]
    smooth(model)
    enliven(model, lambda: model(batch((256, 256))), {layer: (0.0, 2.0) for layer in heads if layer.bias is not None})
    size = None if "dynamic_axes" in arguments else (256, 256)
    _write(model, torch.rand(1, 3, 256, 256), folder, ["out", "aux"] if given else ["out"],
           **{key: value for key, value in arguments.items() if key not in given})

    def answer(path: Path) -> Answer:
        image = _read(path)
        with torch.no_grad():
            logits = model(_normalised(image, size))["out"]
        whole = nn.functional.interpolate(logits, size=image.size[::-1], mode="bilinear")
        return segments(whole[0].argmax(0).numpy(), {number: str(number) for number in range(21)})
    return answer


EXPORTS: dict[str, Export] = {name: partial(_classifier, name, arguments) for name, arguments in CLASSIFIERS.items()}
EXPORTS |= {name: partial(_segmenter, *made) for name, made in SEGMENTERS.items()}
