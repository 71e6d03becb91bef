"""What the training scripts share: the command line, repeatable runs, averaged weights, the export."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.photographs import DEFAULT_DATA

THREADS = 1  # fixed: another number sums in another order and gives other weights


@dataclass(frozen=True)
class Plan:
    """What the command line decides."""

    data: Path
    output: Path
    epochs: int
    seed: int


def read_plan(description: str | None, output: Path, epochs: int) -> Plan:
    """The plan from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder that holds strawberry/")
    parser.add_argument("--output", type=Path, default=output, help="where the results go")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seed", type=int, default=7)
    return Plan(**vars(parser.parse_args()))


def make_repeatable(seed: int) -> None:
    """Fixes seed, thread count and algorithms, so that two runs give the same weights."""
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """A copy whose weights become the mean over about the last 1 / (1 - decay) steps."""
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def export(network: nn.Module, picture: Tensor, output: str, path: Path) -> None:
    """Writes the network as one ONNX file with input `image`, any batch size; `picture` is [1, 3, H, W]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    torch.onnx.export(
        network,
        (picture,),
        path,
        input_names=["image"],
        output_names=[output],
        dynamic_axes={"image": {0: "batch"}, output: {0: "batch"}},
        opset_version=17,
        dynamo=False,  # the newer exporter needs one more package and gains nothing for these graphs
    )
