"""Draws the sample pictures in samples/: a healthy and a scorched strawberry leaflet, from formulas alone.

`python -m training.leaf.draw_leaves` needs numpy and Pillow only. No photograph is involved and nothing is trained
on the drawings.

Fields are float arrays [H, W] over the canvas; colours are RGB in 0..255. Leaf coordinates: `across` runs
from -0.5 to 0.5 from one margin to the other, `along` from 0 at the stalk to 1 at the tip.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Field = npt.NDArray[np.float64]

SAMPLES = Path(__file__).resolve().parent.parent.parent / "samples"
SIDE = 640  # pixels of the finished picture
OVERSAMPLING = 2  # drawn larger and reduced, so that edges are smooth
CANVAS = SIDE * OVERSAMPLING
SIDE_VEINS = 8.5  # between stalk and tip


@dataclass(frozen=True)
class Leaf:
    """How one picture differs from another; tilt in degrees, length as a share of the picture."""

    name: str
    seed: int
    tilt: float
    length: float
    green: tuple[float, float, float]
    wall: tuple[float, float, float]
    spots: int
    scorch: float


LEAVES = (
    Leaf("leaf", 3, -14, 0.80, (82, 124, 58), (166, 158, 168), spots=0, scorch=0.0),
    Leaf("scorched_leaf", 11, 12, 0.82, (106, 136, 74), (172, 164, 172), spots=150, scorch=1.0),
)


def noise(random: np.random.Generator, cells: int) -> Field:
    """Smooth random field of about -1..1 whose features are CANVAS / cells pixels wide."""
    small = Image.fromarray(random.normal(0, 0.5, (cells + 1, cells + 1)).astype(np.float32))
    return np.asarray(small.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC), dtype=np.float64)


def to_image(values: Field) -> Image.Image:
    """Values of 0..255, [H, W] or [H, W, 3], as a picture."""
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def blur(field: Field, pixels: float) -> Field:
    """Gaussian blur of a field of 0..1; the radius is in pixels of the finished picture."""
    image = to_image(field * 255).filter(ImageFilter.GaussianBlur(pixels * OVERSAMPLING))
    return np.asarray(image, dtype=np.float64) / 255


def ramp(field: Field, low: float, high: float | Field) -> Field:
    """0 below `low`, 1 above `high`, smooth between."""
    part = np.clip((field - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)


def paint(picture: Field, colour: tuple[float, float, float] | Field, cover: Field) -> Field:
    """Picture [H, W, 3] with the colour laid over it, as thick as `cover` [H, W] says."""
    return picture + (np.asarray(colour) - picture) * np.clip(cover, 0, 1)[..., None]


def leaf_coordinates(leaf: Leaf) -> tuple[Field, Field]:
    """`across` and `along` of every pixel."""
    down, right = np.mgrid[0:CANVAS, 0:CANVAS] / CANVAS - 0.5
    angle = math.radians(leaf.tilt)
    across = (right * math.cos(angle) + down * math.sin(angle)) / leaf.length
    along = (right * math.sin(angle) - down * math.cos(angle)) / leaf.length + 0.5
    return across, along


def half_width(along: Field) -> Field:
    """Margin of a leaflet without teeth: a wedge at the stalk, widest beyond the middle, blunt at the tip."""
    shape = np.clip(along, 0, 1) ** 0.8 * np.clip(1 - along, 0, 1) ** 0.42
    return 0.98 * shape


def outline(random: np.random.Generator, side: int) -> Field:
    """Points [n, 2] (across, along) of one margin from stalk to tip, with about ten blunt teeth."""
    turn = np.linspace(0, 1, 700)
    along = np.sin(turn * math.pi / 2) ** 1.15
    phase = turn * random.uniform(11.5, 12.5) + 0.06 * np.sin(turn * 23 + random.uniform(0, 6))
    tooth = (1 - np.abs(2 * (phase % 1) - 1) ** 1.7) * ramp(turn, 0.22, 0.5)
    sizes = random.uniform(0.75, 1.2, 16)[phase.astype(int)]
    across = half_width(along) + 0.012 * np.sin(turn * 7 + side)
    outward: Field = 1 + 0.042 * (tooth * sizes - 0.5)
    return np.stack([side * across * outward, along * outward - 0.01], axis=1)


def leaf_mask(leaf: Leaf, random: np.random.Generator) -> Field:
    """1 inside the leaflet, 0 outside."""
    points = np.concatenate([outline(random, 1), outline(random, -1)[::-1]])
    image = Image.new("L", (CANVAS, CANVAS))
    ImageDraw.Draw(image).polygon([to_canvas(leaf, x, y) for x, y in points], fill=255)
    return np.asarray(image, dtype=np.float64) / 255


def to_canvas(leaf: Leaf, across: float, along: float) -> tuple[float, float]:
    """Pixel of a point in leaf coordinates."""
    angle = math.radians(leaf.tilt)
    x, y = across * leaf.length, (along - 0.5) * leaf.length
    right, up = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return (0.5 + right) * CANVAS, (0.5 - up) * CANVAS


def stalk_mask(leaf: Leaf) -> Field:
    """1 on the short stalk below the leaflet."""
    image = Image.new("L", (CANVAS, CANVAS))
    points = [to_canvas(leaf, 0.012 * math.sin(9 * step), step) for step in np.linspace(0.04, -0.07, 12)]
    ImageDraw.Draw(image).line(points, fill=255, width=CANVAS // 55, joint="curve")
    return np.asarray(image, dtype=np.float64) / 255


def vein_phase(across: Field, along: Field, wobble: Field) -> Field:
    """A whole number on every side vein: they leave the midrib at an angle and bend towards the tip."""
    away = np.abs(across)
    alternate = np.where(across > 0, 0.0, 0.35)
    return SIDE_VEINS * (along - 0.7 * away - 0.35 * away**2) + alternate + 0.35 * wobble


def relief(phase: Field, across: Field, fine: Field, coarse: Field) -> Field:
    """Height of the blade: it bulges between the veins, is wrinkled and bends up from the midrib."""
    bulge = np.abs(np.sin(math.pi * phase)) ** 0.7 * ramp(np.abs(across), 0.0, 0.12)
    fold = ramp(np.abs(across), 0.0, 0.05)
    return 10.0 * bulge + 7.0 * fold + 1.8 * fine + 9.0 * coarse


def light(height: Field) -> tuple[Field, Field]:
    """Shade (about 1 on flat ground) and gloss (0..1) of a blade lit from the upper right."""
    slope_down, slope_right = np.gradient(height)
    facing = np.asarray(slope_down * 0.75 - slope_right * 0.65)
    return np.clip(1 + 0.42 * facing, 0.5, 1.45), ramp(facing, 0.25, 1.3)


def vein_cover(phase: Field, across: Field, along: Field) -> Field:
    """Where the pale midrib and side veins run; all get thinner away from the stalk."""
    midrib = 1 - ramp(np.abs(across), 0.002, 0.012 - 0.007 * np.clip(along, 0, 1))
    distance = np.abs(phase - np.rint(phase))
    side = (1 - ramp(distance, 0.0, 0.075)) * (1 - ramp(np.abs(across), 0.1, 0.46))
    return np.maximum(0.85 * midrib, 0.38 * side)


def background(leaf: Leaf, random: np.random.Generator) -> Field:
    """A sheet of rough paper in uneven light."""
    lit = 1 + 0.07 * noise(random, 2) + 0.02 * noise(random, 40) + 0.035 * noise(random, CANVAS // 3)
    return np.asarray(leaf.wall) * lit[..., None]


def cast_shadow(picture: Field, mask: Field) -> Field:
    """Darkens the paper at the lower left of the leaf."""
    shift = CANVAS // 34
    moved = np.roll(mask, (shift, -shift), axis=(0, 1))
    return paint(picture, picture * np.array([0.33, 0.33, 0.40]), 0.9 * blur(moved, 3))


def blade(leaf: Leaf, random: np.random.Generator, across: Field, along: Field) -> tuple[Field, Field, Field]:
    """Colour [H, W, 3], shade and gloss of a healthy blade, everywhere on the canvas."""
    fine, coarse = noise(random, 150) + 0.6 * noise(random, 300), noise(random, 9)
    phase = vein_phase(across, along, noise(random, 6))
    shade, gloss = light(relief(phase, across, fine, coarse))
    patches = 1 + 0.09 * noise(random, 5) + 0.05 * noise(random, 60)
    colour = np.asarray(leaf.green) * patches[..., None]
    colour = paint(colour, (168, 188, 96), vein_cover(phase, across, along))
    return colour, shade * (1 + 0.12 * np.sign(across) * ramp(np.abs(across), 0, 0.03)), gloss


def spot_cover(leaf: Leaf, random: np.random.Generator, edge: Field) -> Field:
    """Depth of the leaf spots, 1 at the middle of each, with ragged rims; more of them towards the margin."""
    down, right = np.mgrid[0:CANVAS, 0:CANVAS].astype(np.float64)
    depth = np.zeros((CANVAS, CANVAS))
    for _ in range(leaf.spots):
        x, y = random.uniform(0.08, 0.92, 2) * CANVAS
        radius = CANVAS * random.uniform(0.006, 0.014) * (1 + 0.5 * random.random() * edge[int(y), int(x)])
        stretch, angle = random.uniform(0.7, 1.4), random.uniform(0, math.pi)
        turned_x = (right - x) * math.cos(angle) + (down - y) * math.sin(angle)
        turned_y = (down - y) * math.cos(angle) - (right - x) * math.sin(angle)
        depth = np.maximum(depth, 1.6 - np.hypot(turned_x * stretch, turned_y / stretch) / radius)
    return depth + 0.4 * noise(random, 90) + 0.25 * noise(random, 200)


def add_scorch(leaf: Leaf, random: np.random.Generator, colour: Field, mask: Field, along: Field) -> Field:
    """Reddish margins, purple spots and dry brown rims on the colour [H, W, 3] of a blade."""
    edge = 1 - ramp(blur(mask, 45), 0.5, 1.0)
    rough = 0.8 * noise(random, 5) + 0.4 * noise(random, 40) + 0.25 * noise(random, 110)
    ragged = edge + rough + 0.5 * (along - 0.55)
    colour = paint(colour, (146, 58, 66), 0.85 * leaf.scorch * ramp(ragged, 0.45, 1.2))
    depth = spot_cover(leaf, random, edge)
    colour = paint(colour, (146, 74, 66), 0.6 * leaf.scorch * ramp(depth, 0.0, 0.7))
    colour = paint(colour, (82, 36, 50), 0.95 * leaf.scorch * ramp(depth, 0.45, 1.0))
    dry = ragged + 0.6 * (edge - 0.8)
    return paint(colour, (112, 82, 70), 0.9 * leaf.scorch * ramp(dry, 1.2, 1.5))


def draw(leaf: Leaf) -> Image.Image:
    """The finished picture, SIDE x SIDE."""
    random = np.random.default_rng(leaf.seed)
    across, along = leaf_coordinates(leaf)
    mask, stalk = leaf_mask(leaf, random), stalk_mask(leaf)
    picture = cast_shadow(background(leaf, random), np.maximum(mask, stalk))
    colour, shade, gloss = blade(leaf, random, across, along)
    if leaf.scorch > 0:
        colour = add_scorch(leaf, random, colour, mask, along)
    picture = paint(picture, np.array([142.0, 140.0, 84.0]) * shade[..., None], stalk)
    surface = paint(colour * shade[..., None], (196, 208, 186), 0.32 * gloss)
    return finish(paint(picture, surface, mask), random)


def finish(picture: Field, random: np.random.Generator) -> Image.Image:
    """Reduces the canvas and adds the grain of a camera."""
    reduced = to_image(picture).resize((SIDE, SIDE), Image.Resampling.BOX)
    return to_image(np.asarray(reduced) + random.normal(0, 4.0, (SIDE, SIDE, 1)))


def main() -> None:
    """Draws every leaf as JPEG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=SAMPLES)
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for leaf in LEAVES:
        draw(leaf).save(folder / f"{leaf.name}.jpg", quality=82, optimize=True)
        print(folder / f"{leaf.name}.jpg")


if __name__ == "__main__":
    main()
