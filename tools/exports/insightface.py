"""insightface: ArcFace's residual network with random weights, exported with the calls of its `torch2onnx.py`.

Answers are those of `insightface.model_zoo.ArcFaceONNX` for the whole image. The
package has no definition of the network; the one here has its layers and names. pip install insightface torch onnx
onnxruntime onnxsim
"""

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from PIL import Image
from torch import nn

from tools.exports.making import Ask, Export
from tools.exports.references import Answer

SIDE = 112
LENGTH = 512
WIDTHS = (64, 128, 256, 512)


class Block(nn.Module):
    """Two convolutions and a way past them, as in an improved residual network."""

    def __init__(self, taken: int, given: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.BatchNorm2d(taken), nn.Conv2d(taken, given, 3, 1, 1, bias=False), nn.BatchNorm2d(given),
            nn.PReLU(given), nn.Conv2d(given, given, 3, stride, 1, bias=False), nn.BatchNorm2d(given))
        self.past = nn.Sequential(nn.Conv2d(taken, given, 1, stride, bias=False), nn.BatchNorm2d(given))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) + self.past(values)


class ArcFace(nn.Module):
    """112 x 112 pixels -> 512 numbers, the last layer being a normalisation of each."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [Block(taken, given, 2) for taken, given in zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False)]
        self.body = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]),
                                  nn.PReLU(WIDTHS[0]), *blocks, nn.BatchNorm2d(WIDTHS[-1]), nn.Dropout(0.0))
        self.fc = nn.Linear(WIDTHS[-1] * 7 * 7, LENGTH)
        self.features = nn.BatchNorm1d(LENGTH)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.features(self.fc(torch.flatten(self.body(values), 1)))


def _export(names: list[str] | None, batch: str | None, folder: Path) -> Ask:
    """`names` of the input as the exporter gives them (None: the number of the tensor); `batch` is how it writes the
    open axis."""
    file, model = folder / "w600k_r18.onnx", ArcFace().eval()
    torch.onnx.export(model, (torch.rand(1, 3, SIDE, SIDE),), str(file), input_names=names, opset_version=11,
                      keep_initializers_as_inputs=False, dynamo=False)
    if batch:
        written = onnx.load(file)
        for tensor in (*written.graph.input, *written.graph.output):
            tensor.type.tensor_type.shape.dim[0].dim_param = batch
        onnx.save(written, file)
    return partial(_ask, ArcFaceONNX(str(file)))


def _ask(model: ArcFaceONNX, path: Path) -> Answer:
    """The library takes aligned faces of the input's size; how an image gets that size is not its matter."""
    with Image.open(path) as image:
        face = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return Answer("image-feature-extraction", values=model.get_feat(face[:, :, ::-1])[0])


EXPORTS: dict[str, Export] = {
    "arcface": partial(_export, ["data"], "None"),
    "arcface-input.1": partial(_export, None, None),
}
