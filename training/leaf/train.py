"""Trains the leaf health model from scratch and exports it: `python -m training.leaf.train`.

Same data, seed and machine give the same file. The last epoch is what is exported: val is only ever measured,
never chosen on. Exits 1 when a target is missed.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from torch import Tensor, nn

from training.leaf.augment import Augmenter
from training.leaf.evaluate import TARGETS, measure
from training.leaf.network import LeafNetwork, divide_logits
from training.leaf.pictures import (
    ALTERATIONS,
    LABELS,
    MEAN,
    MODEL_FOLDER,
    SIZE,
    STD,
    Photograph,
    labels_of,
    load_inputs,
    read_manifest,
    stretch,
)
from training.measuring import report
from training.photographs import open_picture
from training.runs import Plan, averaged, export, make_repeatable, read_plan

EPOCHS = 60
BATCH = 32
PEAK_RATE = 4e-3
WEIGHT_DECAY = 0.02
EMA_DECAY = 0.98  # the weights averaged over about the last 50 steps
CACHE_SIZE = SIZE * 5 // 4  # pixels; larger than the input, so that zooming in still shows detail
SMALL_SIZE = SIZE * 2 // 3  # pixels; the first epochs see smaller pictures, which is twice as fast
SMALL_SHARE = 0.4  # of the epochs
HELD_BACK_SHARE = 0.12  # of the training photographs of each class, for the temperature
LARGEST_HELD_BACK = 20  # photographs; larger groups are worth more in training


def split_by_group(photographs: list[Photograph], seed: int) -> tuple[list[Photograph], list[Photograph]]:
    """Training and held-back photographs; all pictures of one leaf go to the same side."""
    random = np.random.default_rng(seed)
    held: set[str] = set()
    for label in range(len(LABELS)):
        groups = [photograph.group for photograph in photographs if photograph.label == label]
        held |= choose_groups(groups, random)
    kept = [photograph for photograph in photographs if photograph.group not in held]
    return kept, [photograph for photograph in photographs if photograph.group in held]


def choose_groups(groups: list[str], random: np.random.Generator) -> set[str]:
    """Random groups that together hold about HELD_BACK_SHARE of the photographs of one class."""
    names, counts = np.unique(groups, return_counts=True)
    chosen: set[str] = set()
    wanted = HELD_BACK_SHARE * len(groups)
    for index in random.permutation(len(names)):
        if wanted > 0 and counts[index] <= LARGEST_HELD_BACK:
            chosen.add(str(names[index]))
            wanted -= counts[index]
    return chosen


def load_cache(photographs: list[Photograph]) -> Tensor:
    """Training pictures as bytes, shape [n, 3, CACHE_SIZE, CACHE_SIZE]."""
    pixels = np.stack([stretch(open_picture(photograph.path), CACHE_SIZE) for photograph in photographs])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def class_weights(labels: Tensor) -> Tensor:
    """Weights [classes] that make both classes count the same, 1 on average over the photographs."""
    counts = torch.bincount(labels, minlength=len(LABELS)).float()
    return len(labels) / (len(LABELS) * counts)


class Trainer:
    """A network, its averaged copy and everything a training step needs."""

    def __init__(self, photographs: list[Photograph], plan: Plan) -> None:
        self.pixels = load_cache(photographs)
        self.labels = torch.from_numpy(labels_of(photographs))
        self.network = LeafNetwork(len(LABELS))
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = averaged(self.network, EMA_DECAY)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
        self.batches = len(self.labels) // BATCH
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, PEAK_RATE, total_steps=plan.epochs * self.batches, pct_start=0.2
        )
        self.loss = nn.CrossEntropyLoss(class_weights(self.labels))
        self.augment = Augmenter(plan.seed)
        self.random = np.random.default_rng(plan.seed)

    def epoch(self, size: int) -> float:
        """One pass over the photographs in a new order, `size` pixels a side; the mean loss."""
        self.network.train()
        order = torch.from_numpy(self.random.permutation(len(self.labels)))
        losses = [self.step(rows, size) for rows in order.split(BATCH)[: self.batches]]
        return float(np.mean(losses))

    def step(self, rows: Tensor, size: int) -> float:
        """One update with the photographs of the given rows; the loss."""
        loss: Tensor = self.loss(self.network(self.prepare(rows, size)), self.labels[rows])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.averaged.update_parameters(self.network)
        return loss.item()

    def prepare(self, rows: Tensor, size: int) -> Tensor:
        """Augmented and normalised pictures [n, 3, size, size]."""
        pictures = self.augment(self.pixels[rows].float() / 255, size)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        return ((pictures - mean) / std).to(memory_format=torch.channels_last)


def train(photographs: list[Photograph], plan: Plan) -> LeafNetwork:
    """The averaged network after the last epoch."""
    trainer = Trainer(photographs, plan)
    for number in range(1, plan.epochs + 1):
        start = time.perf_counter()
        loss = trainer.epoch(SMALL_SIZE if number <= SMALL_SHARE * plan.epochs else SIZE)
        print(f"epoch {number}/{plan.epochs} loss {loss:.4f} {time.perf_counter() - start:.1f} s", flush=True)
    network = trainer.averaged.module.eval()
    assert isinstance(network, LeafNetwork)
    return network


@torch.no_grad()
def held_back_logits(network: LeafNetwork, photographs: list[Photograph]) -> tuple[Tensor, Tensor]:
    """Logits [m, classes] and labels [m] of the held-back photographs, untouched and altered.

    Untouched they are nearly all right, which says too little about how sure the network may be.
    """
    views = [load_inputs(photographs), *(load_inputs(photographs, alter) for alter in ALTERATIONS.values())]
    logits = torch.cat([network(torch.from_numpy(view)) for view in views])
    return logits, torch.from_numpy(np.tile(labels_of(photographs), len(views)))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the lowest negative log likelihood, searched from 1 to 5 in steps of 1 %.

    Never below 1: when all held-back photographs are right, the likelihood only grows as the scores get
    nearer to 1, and a hundred photographs are no ground for such certainty.
    """
    candidates = np.geomspace(1.0, 5.0, 163)
    losses = [nn.functional.cross_entropy(logits / candidate, labels).item() for candidate in candidates]
    return float(candidates[int(np.argmin(losses))])


def run(plan: Plan) -> int:
    """Trains, calibrates, exports, measures; the exit code."""
    start = time.perf_counter()
    make_repeatable(plan.seed)
    photographs = [photograph for photograph in read_manifest(plan.data) if photograph.split == "train"]
    kept, held = split_by_group(photographs, plan.seed)
    print(f"{len(kept)} photographs to train on, {len(held)} held back for the temperature", flush=True)
    network = train(kept, plan)
    temperature = fit_temperature(*held_back_logits(network, held))
    divide_logits(network, temperature)
    export(network, torch.zeros(1, 3, SIZE, SIZE), "logits", plan.output / "model.onnx")
    minutes = (time.perf_counter() - start) / 60
    figures = measure(plan.output / "model.onnx", plan.data)
    figures |= {"temperature": round(temperature, 4), "training_minutes": round(minutes, 1)}
    (plan.output / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return report(figures, TARGETS)


if __name__ == "__main__":
    sys.exit(run(read_plan(__doc__, MODEL_FOLDER, EPOCHS)))
