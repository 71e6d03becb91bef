"""Photographs for the fruit detector: field frames with their boxes, and pictures without a ripe strawberry.

Needs numpy and Pillow only. Boxes are floats [n, 4]: xmin, ymin, xmax, ymax in pixels.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from training.photographs import PROJECT, ByteArray, FloatArray, open_picture

MODEL_FOLDER = PROJECT / "models" / "strawberry-fruit"
LABELS = ("ripe_strawberry",)
SIZE = 640  # pixels, both sides of the network's input and of the field frames


@dataclass(frozen=True)
class Frame:
    """A field photograph and the boxes [n, 4] of its ripe strawberries."""

    path: Path
    boxes: FloatArray


def read_frames(data: Path, split: str) -> list[Frame]:
    """The field frames of one split, in the order of their paths."""
    folder = data / "strawberry"
    rows = read_rows(folder / "fruit_detection" / "manifest.csv")
    rows = sorted((row for row in rows if row["split"] == split), key=lambda row: row["path"])
    return [Frame(folder / row["path"], read_boxes(folder / row["label"])) for row in rows]


def read_rows(manifest: Path) -> list[dict[str, str]]:
    """All rows of a manifest."""
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_boxes(label: Path) -> FloatArray:
    """Boxes [n, 4] in pixels of a SIZE x SIZE frame, from the YOLO form `class cx cy w h`, shares of 1."""
    numbers = np.array(label.read_text(encoding="utf-8").split(), dtype=np.float32).reshape(-1, 5)
    centre, half = numbers[:, 1:3], numbers[:, 3:5] / 2
    return np.concatenate([centre - half, centre + half], axis=1) * SIZE


def read_leaves(data: Path, split: str) -> list[Path]:
    """Photographs of single leaves of one split: no strawberry on any."""
    folder = data / "strawberry"
    rows = [row for row in read_rows(folder / "manifest.csv") if row["path"].startswith("leaf/")]
    return sorted(folder / row["path"] for row in rows if row["split"] == split)


def read_aerials(data: Path) -> list[Path]:
    """The large drone photographs: no strawberry on any. Some are turned copies of another."""
    folder = data / "large"
    return sorted(folder / row["path"] for row in read_rows(folder / "manifest.csv"))


def letterbox(image: Image.Image) -> Image.Image:
    """The whole picture on a grey square of SIZE pixels, its shape kept."""
    scale = SIZE / max(image.size)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    square = Image.new("RGB", (SIZE, SIZE), (114, 114, 114))
    square.paste(small, ((SIZE - small.width) // 2, (SIZE - small.height) // 2))
    return square


def to_input(pixels: Image.Image | ByteArray) -> FloatArray:
    """RGB bytes [H, W, 3] to the network's input [1, 3, H, W], 0..1."""
    scaled = np.asarray(pixels, dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def tile_starts(length: int, overlap: int) -> list[int]:
    """Where tiles of SIZE pixels begin along a side; the last one ends with the side."""
    last = max(0, length - SIZE)
    return [*range(0, last, SIZE - overlap), last]


def load(path: Path, stretched: bool = False) -> ByteArray:
    """The picture upright as RGB bytes [H, W, 3]; `stretched` to SIZE x SIZE if wanted."""
    image = open_picture(path)
    if stretched:
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)
