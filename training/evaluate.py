"""Measures models/strawberry/model.onnx on the val split, without PyTorch: `python training/evaluate.py`.

Needs onnxruntime, numpy and Pillow only. Exits 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from pictures import (
    ALTERATIONS,
    DEFAULT_DATA,
    LABELS,
    MODEL_FOLDER,
    SIZE,
    FloatArray,
    IntArray,
    Photograph,
    labels_of,
    load_inputs,
    read_manifest,
)

Figures = dict[str, float | int | str]
BINS = 15

AT_LEAST = {
    "accuracy": 0.99,
    **{f"recall_{label}": 0.98 for label in LABELS},
    "accuracy_warm": 0.95,
    "accuracy_dark": 0.92,
    "accuracy_grey": 0.80,
}
AT_MOST = {"ece": 0.05, "megabytes": 5.0, "milliseconds": 10.0}


def open_model(path: Path) -> ort.InferenceSession:
    """The model on one core of the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def logits_of(session: ort.InferenceSession, inputs: FloatArray) -> FloatArray:
    """Logits [n, classes] of inputs [n, 3, SIZE, SIZE], one picture at a time as a lone request would be."""
    rows = [session.run(["logits"], {"image": picture[None]})[0] for picture in inputs]
    return np.concatenate(rows).astype(np.float32)


def softmax(logits: FloatArray) -> FloatArray:
    """Scores [n, classes] that sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def expected_calibration_error(scores: FloatArray, labels: IntArray) -> float:
    """Mean gap between the best score and the share of right answers, over BINS equal bins of the score."""
    best, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    bins = np.minimum((best * BINS).astype(np.int64), BINS - 1)
    gaps = [abs(best[bins == index].sum() - right[bins == index].sum()) for index in range(BINS)]
    return float(sum(gaps) / len(labels))


def quality(scores: FloatArray, labels: IntArray) -> Figures:
    """Accuracy, recall and error counts per class, and calibration of the untouched photographs."""
    right = scores.argmax(axis=1) == labels
    figures: Figures = {"photographs": len(labels), "accuracy": float(right.mean())}
    for index, label in enumerate(LABELS):
        figures[f"recall_{label}"] = float(right[labels == index].mean())
        figures[f"wrong_{label}"] = int((~right[labels == index]).sum())
    return figures | {"ece": expected_calibration_error(scores, labels)}


def robustness(session: ort.InferenceSession, photographs: list[Photograph]) -> Figures:
    """Accuracy and lowest recall on the same photographs after each alteration."""
    labels, figures = labels_of(photographs), Figures()
    for name, alter in ALTERATIONS.items():
        right = logits_of(session, load_inputs(photographs, alter)).argmax(axis=1) == labels
        figures[f"accuracy_{name}"] = float(right.mean())
        figures[f"lowest_recall_{name}"] = min(float(right[labels == i].mean()) for i in range(len(LABELS)))
    return figures


def milliseconds(session: ort.InferenceSession, runs: int = 200) -> float:
    """Median time of the network alone for one picture on one core."""
    picture = np.zeros((1, 3, SIZE, SIZE), dtype=np.float32)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        session.run(["logits"], {"image": picture})
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000


def measure(model: Path, data: Path) -> Figures:
    """Every figure of the model card."""
    session = open_model(model)
    photographs = [photograph for photograph in read_manifest(data) if photograph.split == "val"]
    scores = softmax(logits_of(session, load_inputs(photographs)))
    figures = quality(scores, labels_of(photographs)) | robustness(session, photographs)
    figures |= {"megabytes": model.stat().st_size / 1e6, "milliseconds": milliseconds(session)}
    figures |= {name: round(value, 4) for name, value in figures.items() if isinstance(value, float)}
    return figures | {"model_sha256": hashlib.sha256(model.read_bytes()).hexdigest()}


def missed_targets(figures: Figures) -> list[str]:
    """One sentence for each target the figures miss."""
    found = {name: float(figures[name]) for name in AT_LEAST | AT_MOST}
    low = [f"{name} {found[name]} < {bound}" for name, bound in AT_LEAST.items() if found[name] < bound]
    high = [f"{name} {found[name]} > {bound}" for name, bound in AT_MOST.items() if found[name] > bound]
    return low + high


def report(figures: Figures) -> int:
    """Prints the figures and the missed targets; the exit code."""
    print(json.dumps(figures, indent=2))
    missed = missed_targets(figures)
    for sentence in missed:
        print(f"target missed: {sentence}", file=sys.stderr)
    return 1 if missed else 0


def main() -> int:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder that holds strawberry/")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER / "model.onnx")
    options = parser.parse_args()
    return report(measure(options.model, options.data))


if __name__ == "__main__":
    sys.exit(main())
