"""Measures models/strawberry-fruit/model.onnx on the val split, without PyTorch: `python -m training.fruit.evaluate`.

Needs onnxruntime, numpy and Pillow only. Writes figures.json beside the model; exits 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime as ort

from training.fruit.frames import (
    MODEL_FOLDER,
    SIZE,
    Frame,
    letterbox,
    load,
    read_aerials,
    read_frames,
    read_leaves,
    tile_starts,
    to_input,
)
from training.fruit.scoring import average_precision, claims, match, merge
from training.measuring import Figures, Targets, finish, milliseconds, open_model, report
from training.photographs import DEFAULT_DATA, ByteArray, FloatArray, open_picture

THRESHOLD = 0.5  # recommended; below it a box is not shown
LEAST_SCORE = 0.01  # of the detections that count for the average precision
RIGHT = 0.5  # overlap from which a box is right
OVERLAP = 128  # pixels that neighbouring tiles share: more than the widest strawberry
MOSAIC_SIDE = 6000  # pixels

TARGETS = Targets(
    at_least={
        "ap50": 0.85,
        "ap75": 0.55,
        "leaves_val_empty": 0.95,
        "leaves_train_empty": 0.95,
        "mosaic_found": 0.95,
    },
    at_most={"megabytes": 4.0, "milliseconds": 100.0, "boxes_large_tiles": 0, "boxes_large_whole": 0},
)


def detect(session: ort.InferenceSession, picture: FloatArray, least: float) -> FloatArray:
    """Detections [n, 6] from `least` score on, of one input [1, 3, SIZE, SIZE]."""
    rows = np.asarray(session.run(["detections"], {"image": picture})[0][0])
    return rows[rows[:, 4] >= least]


def detect_in_tiles(session: ort.InferenceSession, pixels: ByteArray) -> FloatArray:
    """Detections [n, 6] above the threshold in a large picture [H, W, 3], searched in overlapping tiles."""
    found = [np.zeros((0, 6), dtype=np.float32)]
    for top in tile_starts(pixels.shape[0], OVERLAP):
        for left in tile_starts(pixels.shape[1], OVERLAP):
            tile = pixels[top : top + SIZE, left : left + SIZE]
            found.append(moved(detect(session, to_input(tile), THRESHOLD), left, top))
    return merge(np.concatenate(found))


def moved(detections: FloatArray, left: float, top: float) -> FloatArray:
    """Detections [n, 6] shifted to the right and down."""
    return detections + np.array([left, top, left, top, 0, 0], dtype=np.float32)


def precision(session: ort.InferenceSession, frames: list[Frame]) -> Figures:
    """Average precision, and what the threshold makes of it."""
    found = [detect(session, to_input(load(frame.path)), LEAST_SCORE) for frame in frames]
    wanted = [frame.boxes for frame in frames]
    figures: Figures = {"frames": len(frames), "boxes": sum(map(len, wanted))}
    for percent in (50, 75):
        figures[f"ap{percent}"] = average_precision(match(found, wanted, percent / 100))
    return figures | at_threshold(found, wanted)


def at_threshold(found: list[FloatArray], wanted: list[FloatArray]) -> Figures:
    """Precision, recall and their harmonic mean at the recommended threshold."""
    matched = match([rows[rows[:, 4] >= THRESHOLD] for rows in found], wanted, RIGHT)
    hits = int(matched.right.sum())
    shown, boxes = max(1, len(matched.right)), matched.wanted
    figures: Figures = {"threshold": THRESHOLD, "precision": hits / shown, "recall": hits / boxes}
    return figures | {"f1": 2 * hits / (shown + boxes)}


def share_empty(session: ort.InferenceSession, paths: list[Path]) -> float:
    """Share of the photographs, stretched to SIZE x SIZE, without a box."""
    pictures = (to_input(load(path, stretched=True)) for path in paths)
    return float(np.mean([len(detect(session, picture, THRESHOLD)) == 0 for picture in pictures]))


def without_strawberries(session: ort.InferenceSession, data: Path) -> Figures:
    """What is found where there is nothing: leaves, and drone photographs in tiles and as a whole."""
    large = read_aerials(data)
    whole = (to_input(letterbox(open_picture(path))) for path in large)
    return {
        "leaves_val_empty": share_empty(session, read_leaves(data, "val")),
        "leaves_train_empty": share_empty(session, read_leaves(data, "train")),
        "boxes_large_tiles": sum(len(detect_in_tiles(session, load(path))) for path in large),
        "boxes_large_whole": sum(len(detect(session, picture, THRESHOLD)) for picture in whole),
    }


def build_mosaic(frames: Iterable[ByteArray]) -> ByteArray:
    """Frames [SIZE, SIZE, 3] beside each other, row by row, MOSAIC_SIDE pixels a side; the last ones are cut."""
    mosaic = np.zeros((MOSAIC_SIDE, MOSAIC_SIDE, 3), dtype=np.uint8)
    for (top, left), frame in zip(mosaic_places(), frames, strict=True):
        part = mosaic[top : top + SIZE, left : left + SIZE]
        part[...] = frame[: part.shape[0], : part.shape[1]]
    return mosaic


def mosaic_places() -> list[tuple[int, int]]:
    """Top and left of every frame of the mosaic."""
    starts = range(0, MOSAIC_SIDE, SIZE)
    return [(top, left) for top in starts for left in starts]


def mosaic(session: ort.InferenceSession, data: Path) -> Figures:
    """How much of what single frames show is found in a mosaic of them that is searched in tiles, and what else is.

    Only frames that are whole in the mosaic count.
    """
    frames = (read_frames(data, "val") + read_frames(data, "train"))[: len(mosaic_places())]
    pictures = [load(frame.path) for frame in frames]
    wanted = detect_one_by_one(session, pictures)
    found = detect_in_tiles(session, build_mosaic(pictures))
    found = found[(found[:, :4].reshape(-1, 2, 2).mean(axis=1) < MOSAIC_SIDE // SIZE * SIZE).all(axis=1)]
    again = int(claims(found, wanted, RIGHT).sum())
    figures: Figures = {"mosaic_boxes": len(wanted), "mosaic_found": again / len(wanted)}
    return figures | {"mosaic_others": len(found) - again}


def detect_one_by_one(session: ort.InferenceSession, pictures: list[ByteArray]) -> FloatArray:
    """Detections [n, 6] above the threshold in every frame that is whole in the mosaic, at its place there."""
    found = []
    for (top, left), pixels in zip(mosaic_places(), pictures, strict=True):
        if max(top, left) + SIZE <= MOSAIC_SIDE:
            found.append(moved(detect(session, to_input(pixels), THRESHOLD), left, top))
    return np.concatenate(found)


def measure(model: Path, data: Path) -> Figures:
    """Every figure of the model card."""
    session = open_model(model)
    figures = precision(session, read_frames(data, "val"))
    figures |= without_strawberries(session, data) | mosaic(session, data)
    blank = np.zeros((1, 3, SIZE, SIZE), dtype=np.float32)
    figures |= {"megabytes": model.stat().st_size / 1e6, "milliseconds": milliseconds(session, blank, 50)}
    return finish(figures, model)


def run(model: Path, data: Path) -> int:
    """Measures, keeps what only the training knows, writes figures.json; the exit code."""
    path = model.with_name("figures.json")
    figures = measure(model, data)
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if known.get("model_sha256") == figures["model_sha256"] and "training_minutes" in known:
        figures["training_minutes"] = known["training_minutes"]
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return report(figures, TARGETS)


def main() -> int:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder that holds strawberry/ and large/")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER / "model.onnx")
    options = parser.parse_args()
    return run(options.model, options.data)


if __name__ == "__main__":
    sys.exit(main())
