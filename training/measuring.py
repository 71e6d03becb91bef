"""What the evaluations share: one core, the time of a run, the targets. Needs onnxruntime and numpy only."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from training.photographs import FloatArray

Figures = dict[str, float | int | str]


@dataclass(frozen=True)
class Targets:
    """Bounds of figures by their names."""

    at_least: Mapping[str, float]
    at_most: Mapping[str, float]


def open_model(path: Path) -> ort.InferenceSession:
    """The model on one core of the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def milliseconds(session: ort.InferenceSession, picture: FloatArray, runs: int) -> float:
    """Median time of the network alone for one input [1, 3, H, W] on one core."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        session.run(None, {"image": picture})
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000


def finish(figures: Figures, model: Path) -> Figures:
    """The figures, rounded, with the sum that says which file they were measured on."""
    rounded = {name: round(value, 4) for name, value in figures.items() if isinstance(value, float)}
    return figures | rounded | {"model_sha256": hashlib.sha256(model.read_bytes()).hexdigest()}


def missed_targets(figures: Figures, targets: Targets) -> list[str]:
    """One sentence for each target the figures miss."""
    least, most = targets.at_least.items(), targets.at_most.items()
    low = [f"{name} {figures[name]} < {bound}" for name, bound in least if float(figures[name]) < bound]
    high = [f"{name} {figures[name]} > {bound}" for name, bound in most if float(figures[name]) > bound]
    return low + high


def report(figures: Figures, targets: Targets) -> int:
    """Prints the figures and the missed targets; the exit code."""
    print(json.dumps(figures, indent=2))
    missed = missed_targets(figures, targets)
    for sentence in missed:
        print(f"target missed: {sentence}", file=sys.stderr)
    return 1 if missed else 0
