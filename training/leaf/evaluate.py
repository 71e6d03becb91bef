"""Measures models/strawberry/model.onnx on the val split, without PyTorch: `python -m training.leaf.evaluate`.

Needs onnxruntime, numpy and Pillow only. Exits 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

from training.leaf.pictures import (
    ALTERATIONS,
    LABELS,
    MODEL_FOLDER,
    SIZE,
    Photograph,
    labels_of,
    load_inputs,
    read_manifest,
)
from training.measuring import Figures, Targets, finish, milliseconds, open_model, report
from training.photographs import DEFAULT_DATA, FloatArray, IntArray

BINS = 15

TARGETS = Targets(
    at_least={
        "accuracy": 0.99,
        **{f"recall_{label}": 0.98 for label in LABELS},
        "accuracy_warm": 0.95,
        "accuracy_dark": 0.92,
        "accuracy_grey": 0.80,
    },
    at_most={"ece": 0.05, "megabytes": 5.0, "milliseconds": 10.0},
)


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


def measure(model: Path, data: Path) -> Figures:
    """Every figure of the model card."""
    session = open_model(model)
    photographs = [photograph for photograph in read_manifest(data) if photograph.split == "val"]
    scores = softmax(logits_of(session, load_inputs(photographs)))
    figures = quality(scores, labels_of(photographs)) | robustness(session, photographs)
    blank = np.zeros((1, 3, SIZE, SIZE), dtype=np.float32)
    figures |= {"megabytes": model.stat().st_size / 1e6, "milliseconds": milliseconds(session, blank, 200)}
    return finish(figures, model)


def main() -> int:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder that holds strawberry/")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER / "model.onnx")
    options = parser.parse_args()
    return report(measure(options.model, options.data), TARGETS)


if __name__ == "__main__":
    sys.exit(main())
