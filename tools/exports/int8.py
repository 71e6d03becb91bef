"""Models whose weights were made whole numbers by onnxruntime.quantization: dynamic and static, classifiers of several
libraries, with the file names that such tools write.

Answers are those of onnxruntime for the exporter's own preprocessing: what whole numbers do to a model is its own
matter, how pixels go in and scores come out is what is compared. pip install torch torchvision timm transformers onnx
onnxruntime onnxscript
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
import torchvision
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from tools.exports.making import Ask, Export
from tools.exports.references import Answer, classes
from tools.exports.torch_networks import enliven, pictures

SIDE, CLASSES = 224, 6
SPREAD = 2.0  # of the logits
Tensor = torch.Tensor
Prepare = Callable[[Image.Image], np.ndarray]
Quantize = Callable[[Path, Path, str, Prepare], None]


class _Pictures(quantization.CalibrationDataReader):
    """Some images, prepared as those that are asked for."""

    def __init__(self, name: str, prepare: Prepare) -> None:
        self._feeds = iter([{name: prepare(picture)} for picture in pictures()])

    def get_next(self) -> Any:
        return next(self._feeds, None)


def dynamic(source: Path, target: Path, name: str, prepare: Prepare) -> None:
    """Of layers, as is usual for transformers; convolutions of a random network would magnify the last digit."""
    quantization.quantize_dynamic(source, target, weight_type=quantization.QuantType.QUInt8,
                                  op_types_to_quantize=["MatMul", "Gemm"])


def static(source: Path, target: Path, name: str, prepare: Prepare, form: str = "QDQ") -> None:
    ready = source.with_name("ready.onnx")
    quant_pre_process(str(source), str(ready))
    quantization.quantize_static(ready, target, _Pictures(name, prepare), per_channel=True,
                                 quant_format=quantization.QuantFormat[form])
    ready.unlink()


def _export(build: Callable[[Path], tuple[torch.nn.Module, Prepare]], quantize: Quantize, file: str, head: str,
            labels: tuple[str, ...], softmax_inside: bool, folder: Path) -> Ask:
    model, prepare = build(folder)
    shown = torch.cat([torch.from_numpy(prepare(picture)) for picture in pictures()])
    enliven(model, lambda: model(shown), {model.get_submodule(head): (0.0, SPREAD)})
    model = torch.nn.Sequential(model, torch.nn.Softmax(1)) if softmax_inside else model
    plain, name = folder / "plain.onnx", "pixel_values" if "json" in "".join(map(str, folder.iterdir())) else "input"
    torch.onnx.export(model.eval(), (torch.from_numpy(prepare(Image.new("RGB", (SIDE, SIDE)))),), str(plain),
                      input_names=[name], output_names=["logits"], dynamic_axes={name: {0: "batch"},
                                                                                "logits": {0: "batch"}}, dynamo=False)
    quantize(plain, folder / file, name, prepare)
    plain.unlink()
    return partial(_ask, onnxruntime.InferenceSession(folder / file), prepare, labels, softmax_inside)


def _ask(session: onnxruntime.InferenceSession, prepare: Prepare, labels: tuple[str, ...], softmax_inside: bool,
         path: Path) -> Answer:
    with Image.open(path) as image:
        [values] = session.run(None, {session.get_inputs()[0].name: prepare(image.convert("RGB"))})
    scores = torch.from_numpy(values[0])
    scores = scores if softmax_inside else scores.softmax(0)
    return classes(dict(zip(labels, map(float, scores), strict=True)))


class _Logits(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.model(pixel_values).logits


def hugging_face(folder: Path) -> tuple[torch.nn.Module, Prepare]:
    """A small ViT with the files of its folder."""
    config = ViTConfig(hidden_size=96, num_hidden_layers=1, num_attention_heads=4, intermediate_size=192,
                       image_size=SIDE, id2label={number: f"kind {number}" for number in range(CLASSES)})
    config.architectures = ["ViTForImageClassification"]
    processor = ViTImageProcessor(do_resize=True, size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3,
                                  image_std=[0.5] * 3)
    config.save_pretrained(folder)
    processor.save_pretrained(folder)
    return (_Logits(ViTForImageClassification(config)),
            lambda image: processor(image, return_tensors="np")["pixel_values"].astype(np.float32))


def timm_folder(folder: Path) -> tuple[torch.nn.Module, Prepare]:
    """A small ResNet with timm's config.json."""
    model = timm.create_model("resnet18", num_classes=CLASSES)
    from timm.models._hub import save_config_for_hf

    save_config_for_hf(model, folder / "config.json", {"label_names": [f"kind {n}" for n in range(CLASSES)]})
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    return model, lambda image: transform(image)[None].numpy()


def torchvision_alone(folder: Path) -> tuple[torch.nn.Module, Prepare]:
    """MobileNetV2, whose folder has nothing else; stretched, as nothing tells a crop."""
    transform = torchvision.transforms.Compose([
        torchvision.transforms.Resize((SIDE, SIDE)), torchvision.transforms.ToTensor(),
        torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    return torchvision.models.mobilenet_v2(num_classes=CLASSES), lambda image: transform(image)[None].numpy()


KINDS = tuple(f"kind {number}" for number in range(CLASSES))
NUMBERS = tuple(map(str, range(CLASSES)))
EXPORTS: dict[str, Export] = {
    "vit-dynamic": partial(_export, hugging_face, dynamic, "model_quantized.onnx", "model.classifier", KINDS, False),
    "timm-static": partial(_export, timm_folder, static, "model.onnx", "fc", KINDS, False),
    "timm-static-operators": partial(_export, timm_folder, partial(static, form="QOperator"), "model_int8.onnx", "fc",
                                     KINDS, False),
    "torchvision-dynamic": partial(_export, torchvision_alone, dynamic, "mobilenet.quant.onnx", "classifier.1",
                                   NUMBERS, False),
    "torchvision-static-softmax": partial(_export, torchvision_alone, static, "mobilenet_int8.onnx", "classifier.1",
                                          NUMBERS, True),
}
