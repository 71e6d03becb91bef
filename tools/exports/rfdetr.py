"""RF-DETR with random weights, exported by its own `export`.

Answers are those of `model.predict` for the image file. The weights that the library would load from a hub are left
out, and random ones magnify half a grey level to another choice of queries: ask for images of the input's own size (384
pixels a side, of seg-nano 312), which nobody resizes. pip install "rfdetr[onnx]"
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rfdetr
import torch
from PIL import Image
from rfdetr.models.backbone import dinov2

from tools.exports.making import Ask, Export
from tools.exports.references import Answer

THRESHOLD = 0.5
MOST = 300  # objects
MEAN, DEVIATION = -4.0, 2.0  # of the classes' logits: some objects are found

dinov2.WindowedDinov2WithRegistersBackbone.from_pretrained = classmethod(
    lambda kind, name, config, **others: kind(config))


def _export(kind: str, folder: Path) -> Ask:
    model = getattr(rfdetr, kind)(pretrain_weights=None, device="cpu")
    _find_some(model)
    model.export(output_dir=str(folder), verbose=False)
    return partial(_ask, model)


def _find_some(model: Any) -> None:
    """Random weights find nothing: spread what the last layer gives for noise."""
    network, given = model.model.model.eval(), list[torch.Tensor]()
    head = network.class_embed
    hook = head.register_forward_hook(lambda module, _, output: given.append(output))
    side = model.model.resolution
    with torch.no_grad():
        network(torch.rand(1, 3, side, side))
        hook.remove()
        head.weight.mul_(DEVIATION / given[-1].std())
        head.bias.fill_(MEAN)


def _ask(model: Any, path: Path) -> Answer:
    """Labels are the numbers of the slots: no file of an export names them."""
    with Image.open(path) as image:
        found = model.predict(image.convert("RGB"), threshold=THRESHOLD)
    masks = None if found.mask is None else np.asarray(found.mask, bool)
    return Answer("object-detection" if masks is None else "image-segmentation", tuple(map(str, found.class_id)),
                  found.confidence, found.xyxy, masks=masks, asked={"threshold": THRESHOLD, "top_k": MOST})


EXPORTS: dict[str, Export] = {"nano": partial(_export, "RFDETRNano"), "seg-nano": partial(_export, "RFDETRSegNano")}
