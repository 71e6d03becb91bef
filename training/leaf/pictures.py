"""Leaf photographs as arrays: manifest, preprocessing and the alterations of the evaluation.

Only numpy and Pillow are needed here. The preprocessing is the one the server does, step by step, so that the
figures measured by the scripts are the figures a user of the server gets.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from training.photographs import PROJECT, ByteArray, FloatArray, IntArray, open_picture

Alteration = Callable[[Image.Image], Image.Image]

MODEL_FOLDER = PROJECT / "models" / "strawberry"

LABELS = ("healthy", "leaf_scorch")
SIZE = 192  # pixels, both sides of the network's input
SCALE = 1 / 255
MEAN = (0.485, 0.456, 0.406)  # of RGB values in 0..1, as in models/strawberry/model.toml
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Photograph:
    """One row of the manifest: a file, its class index in LABELS, its split and its physical leaf."""

    path: Path
    label: int
    split: str
    group: str


def read_manifest(data: Path) -> list[Photograph]:
    """All leaf photographs listed in `data`/strawberry/manifest.csv, in the order of their paths."""
    folder = data / "strawberry"
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] in LABELS]
    rows.sort(key=lambda row: row["path"])
    return [
        Photograph(folder / row["path"], LABELS.index(row["class"]), row["split"], row["group"])
        for row in rows
    ]


def labels_of(photographs: Iterable[Photograph]) -> IntArray:
    """Class indices, shape [n]."""
    return np.array([photograph.label for photograph in photographs], dtype=np.int64)


def stretch(image: Image.Image, size: int = SIZE) -> ByteArray:
    """The whole picture stretched to a square, RGB bytes of shape [size, size, 3]."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8)


def normalise(pixels: ByteArray) -> FloatArray:
    """Bytes [..., H, W, 3] to the network's floats [..., 3, H, W]."""
    scaled = pixels.astype(np.float32) * np.float32(SCALE)
    centred = (scaled - np.array(MEAN, dtype=np.float32)) / np.array(STD, dtype=np.float32)
    return np.ascontiguousarray(np.moveaxis(centred, -1, -3))


def load_inputs(photographs: Iterable[Photograph], alter: Alteration | None = None) -> FloatArray:
    """Network inputs [n, 3, SIZE, SIZE]; `alter` changes each full-size picture before it is resized."""
    images = (open_picture(photograph.path) for photograph in photographs)
    return np.stack([normalise(stretch(alter(image) if alter else image)) for image in images])


def gain(red: float, green: float, blue: float) -> Alteration:
    """Multiplies the channels, as another light or exposure would; values above 255 clip."""

    def apply(image: Image.Image) -> Image.Image:
        pixels = np.asarray(image, dtype=np.float32) * np.array([red, green, blue], dtype=np.float32)
        return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))

    return apply


def grey(image: Image.Image) -> Image.Image:
    """Luma (ITU-R 601) in all three channels."""
    return image.convert("L").convert("RGB")


def smaller(image: Image.Image) -> Image.Image:
    """Half as many pixels each way: a soft picture, as from a preview."""
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR)


ALTERATIONS: dict[str, Alteration] = {
    "warm": gain(1.2, 1.0, 0.75),
    "dark": gain(0.6, 0.6, 0.6),
    "grey": grey,
    "cool": gain(0.8, 1.0, 1.25),
    "bright": gain(1.4, 1.4, 1.4),
    "half_size": smaller,
}
