"""Trains the fruit detector from scratch and exports it: `python -m training.fruit.train`.

Same data, seed and machine give the same file. The last epoch is what is exported: val is only ever measured,
never chosen on. Exits 1 when a target is missed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from training.draws import Draws, blur, luma, mix, turn_hue
from training.fruit.crops import Cropper, Pool, read_pools
from training.fruit.evaluate import TARGETS, measure
from training.fruit.frames import MODEL_FOLDER, SIZE
from training.fruit.network import Detector, FruitNetwork
from training.fruit.targets import encode, loss
from training.measuring import report
from training.runs import Plan, averaged, export, make_repeatable, read_plan

EPOCHS = 60  # of the first phase; the second one takes a sixth of it on top
BATCHES = 50  # of an epoch
BATCH = 8  # pictures
CROP_SIZE = 384  # pixels; three crops cost what one whole frame costs
PEAK_RATE = 3e-3
FINAL_RATE = 5e-4  # the highest of the second phase
FINAL_SHARES = (0.62, 0.12, 0.26)  # of field, leaf and drone windows there: more of what must stay empty
WEIGHT_DECAY = 0.02
LARGEST_GRADIENT = 10.0
EMA_DECAY = 0.995  # the weights averaged over about the last 200 steps


class Colours:
    """Draws light, colour and sharpness. Redness is what tells ripe from unripe: the hue moves little."""

    def __init__(self, seed: int) -> None:
        self.draws = Draws(seed)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures [n, 3, H, W] in 0..1 to changed ones."""
        return self._sharpness(self._light(self._tone(pictures))).clamp(0, 1)

    def _tone(self, pictures: Tensor) -> Tensor:
        """Hue turned by up to 0.12 radians in half of the pictures; saturation from 0.7 to 1.3."""
        count, draws = len(pictures), self.draws
        turned = turn_hue(pictures, draws.uniform(count, -0.12, 0.12).flatten())
        changed = torch.where(draws.chosen(count, 0.5), turned, pictures)
        return mix(luma(changed), changed, draws.uniform(count, 0.7, 1.3))

    def _light(self, pictures: Tensor) -> Tensor:
        """Warm or cool light, exposure from 0.6 to 1.4 and contrast, in two thirds of the pictures."""
        count, draws = len(pictures), self.draws
        warm, magenta = draws.factor(count, 0.87, 1.15), draws.factor(count, 0.95, 1.05)
        tint = draws.factor(count, 0.6, 1.4) * torch.cat([warm, magenta, 1 / warm], dim=1)
        changed = (pictures * tint).clamp(0, 1)
        changed = mix(changed.mean((1, 2, 3), keepdim=True), changed, draws.factor(count, 0.8, 1.25))
        return torch.where(draws.chosen(count, 0.67), changed, pictures)

    def _sharpness(self, pictures: Tensor) -> Tensor:
        """Half of the pictures blurred or sharpened on a scale of 3x3 pixels, a quarter with sensor noise."""
        count, draws = len(pictures), self.draws
        amount = torch.where(draws.chosen(count, 0.5), draws.uniform(count, 0.2, 1.5), 1.0)
        changed = mix(blur(pictures), pictures, amount)
        noisy = changed + draws.grain(changed, 0.005, 0.03)
        return torch.where(draws.chosen(count, 0.25), noisy, changed)


@dataclass(frozen=True)
class Phase:
    """A part of the training: photographs to draw from, epochs, highest learning rate."""

    pools: Sequence[Pool]
    epochs: int
    rate: float
    seed: int


class Trainer:
    """A network, its averaged copy and everything a training step needs."""

    def __init__(self, network: FruitNetwork, phase: Phase) -> None:
        self.network = network
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = averaged(self.network, EMA_DECAY)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), phase.rate, weight_decay=WEIGHT_DECAY)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, phase.rate, total_steps=phase.epochs * BATCHES, pct_start=0.15
        )
        self.crop, self.colours = Cropper(phase.pools, phase.seed), Colours(phase.seed)

    def epoch(self) -> float:
        """BATCHES updates; the mean loss."""
        self.network.train()
        return float(np.mean([self.step() for _ in range(BATCHES)]))

    def step(self) -> float:
        """One update with newly drawn pictures; the loss."""
        crops = [self.crop(CROP_SIZE) for _ in range(BATCH)]
        pixels = torch.from_numpy(np.stack([crop.pixels for crop in crops])).permute(0, 3, 1, 2)
        pictures = self.colours(pixels.float() / 255).contiguous(memory_format=torch.channels_last)
        heat, boxes = self.network(pictures)
        wrong = loss(heat, boxes, encode(crops))
        self.update(wrong)
        return wrong.item()

    def update(self, wrong: Tensor) -> None:
        """Steps down the gradient of the loss, which is cut where a strange batch makes it large."""
        self.optimizer.zero_grad()
        wrong.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        self.schedule.step()
        self.averaged.update_parameters(self.network)


def train(pools: Sequence[Pool], plan: Plan) -> FruitNetwork:
    """A network that has gone through both phases."""
    network = learn(FruitNetwork(), Phase(pools, plan.epochs, PEAK_RATE, plan.seed))
    others = [replace(pool, share=share) for pool, share in zip(pools, FINAL_SHARES, strict=True)]
    return learn(network, Phase(others, max(1, plan.epochs // 6), FINAL_RATE, plan.seed + 1))


def learn(network: FruitNetwork, phase: Phase) -> FruitNetwork:
    """The averaged network after the last epoch of a phase."""
    trainer = Trainer(network, phase)
    for number in range(1, phase.epochs + 1):
        start = time.perf_counter()
        wrong = trainer.epoch()
        print(f"epoch {number}/{phase.epochs} loss {wrong:.4f} {time.perf_counter() - start:.1f} s", flush=True)
    result = trainer.averaged.module.eval()
    assert isinstance(result, FruitNetwork)
    return result


def run(plan: Plan) -> int:
    """Trains, exports, measures; the exit code."""
    start = time.perf_counter()
    make_repeatable(plan.seed)
    network = train(read_pools(plan.data), plan)
    export(Detector(network).eval(), torch.zeros(1, 3, SIZE, SIZE), "detections", plan.output / "model.onnx")
    minutes = (time.perf_counter() - start) / 60
    figures = measure(plan.output / "model.onnx", plan.data) | {"training_minutes": round(minutes, 1)}
    (plan.output / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return report(figures, TARGETS)


if __name__ == "__main__":
    sys.exit(run(read_plan(__doc__, MODEL_FOLDER, EPOCHS)))
