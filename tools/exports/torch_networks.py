"""What the families that PyTorch makes share: random weights that tell images apart, and torchvision on any machine."""

import functools
import importlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from tools.exports.making import SHOWN

OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": "(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
                 "int sampling_ratio, bool aligned) -> Tensor"}
SHARPNESS = 0.2
LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
Heads = Mapping[nn.Module, tuple[float, float]]  # the mean and deviation of what each channel of a last layer gives


def pictures() -> list[Image.Image]:
    """The images that are asked for, and the same ones turned and in other colours."""
    shown = [Image.open(path).convert("RGB") for path in SHOWN]
    turned = [picture.transpose(Image.Transpose.ROTATE_90) for picture in shown]
    return shown + [Image.merge("RGB", picture.split()[::-1]) for picture in turned]


def batch(size: tuple[int, int]) -> Tensor:
    """The pictures as (n, 3, height, width) of 0..1, in RGB."""
    return torch.from_numpy(np.stack([np.asarray(picture.resize(size), np.float32) / 255 for picture in pictures()])
                            ).permute(0, 3, 1, 2).contiguous()


def enliven(model: nn.Module, run: Callable[[], Any], heads: Heads) -> None:
    """Give a network of random weights answers that depend on the image, as a trained one has them: statistics of its
    batch normalisations, and last layers of a wanted spread. `run` runs it on the pictures."""
    model.eval()
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.reset_running_stats()
            module.momentum = None
            module.train()
    given = dict[nn.Module, Tensor]()
    hooks = [head.register_forward_hook(lambda module, _, output: given.update({module: output})) for head in heads]
    with torch.no_grad():
        run()  # the statistics
        model.eval()
        run()
        for head, output in given.items():
            _spread(head, output, *heads[head])
    for hook in hooks:
        hook.remove()


def smooth(model: nn.Module) -> None:
    """Make random kernels see areas more than single pixels, as trained ones do: a network of random depthwise ones
    answers differently when a hundredth of the pixels changes by one grey level."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1:
                mean = module.weight.mean((2, 3), keepdim=True)
                module.weight.copy_(mean + (module.weight - mean) * SHARPNESS)


def _spread(head: nn.Module, output: Tensor, mean: float, deviation: float) -> None:
    """Scale the weights of a convolution or a linear layer, so that its `output` would have had this spread."""
    channels = output.movedim(1 if isinstance(head, nn.Conv2d) else -1, 0).flatten(1)
    factor = deviation / channels.std(1).clamp_min(1e-6)
    head.weight.mul_(factor.view(-1, *[1] * (head.weight.ndim - 1)))
    head.bias.copy_((head.bias - channels.mean(1)) * factor + mean)


def mend_torchvision() -> None:
    """Define torchvision's compiled operators in Python where they cannot be loaded: those for GPUs beside a PyTorch
    for CPUs. To be called before anything imports torchvision."""
    found = find_spec("torchvision")
    if found is None or torch.version.cuda is not None:
        return
    [folder] = found.submodule_search_locations
    try:
        torch.ops.load_library(str(Path(folder) / "_C.so"))
    except OSError:
        _define_operators()


@functools.cache
def _define_operators() -> None:
    for name, form in OPERATORS.items():
        LIBRARY.define(f"{name}{form}")
    extension, boxes, aligning = (importlib.import_module(f"torchvision.{name}")  # not the functions of these names
                                  for name in ("extension", "ops.boxes", "ops.roi_align"))
    LIBRARY.impl("nms", _nms, "CPU")
    LIBRARY.impl("roi_align", aligning._roi_align, "CPU")
    for module in (extension, boxes, aligning):
        module._assert_has_ops = lambda: None


def _nms(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    order, kept = scores.argsort(descending=True), []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while order.numel():
        best, others = order[0], order[1:]
        sides = torch.minimum(boxes[best, 2:], boxes[others, 2:]) - torch.maximum(boxes[best, :2], boxes[others, :2])
        shared = sides.clamp(min=0).prod(1)
        order = others[shared / (areas[best] + areas[others] - shared) <= iou]
        kept.append(best)
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)
