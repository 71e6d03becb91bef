"""Draws samples/strawberries.jpg: strawberries between leaves over black foil, from formulas alone.

`python -m training.fruit.draw_field` needs numpy and Pillow only. No photograph is involved and nothing is trained on
the drawing.

Fields are float arrays [H, W] over the canvas; colours are RGB in 0..255. Lengths are in pixels of the canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from training.leaf.draw_leaves import CANVAS, OVERSAMPLING, SAMPLES, Field, blur, finish, noise, paint, ramp

SEED = 4
FOIL, RIPE, UNRIPE = (44, 45, 50), (204, 28, 34), (176, 190, 116)
CROWNS = ((0.27, 0.24), (0.62, 0.2), (0.86, 0.42), (0.42, 0.55), (0.14, 0.62), (0.7, 0.72), (0.36, 0.88))
SEEDS_ACROSS = 6


@dataclass(frozen=True)
class Fruit:
    """Its middle and width in pixels of the finished picture, its tip's direction in degrees (0 is down)."""

    x: float
    y: float
    width: float
    turn: float
    ripe: bool = True


FRUITS = (
    Fruit(120, 232, 44, 15), Fruit(168, 252, 38, -20), Fruit(318, 96, 36, 40), Fruit(436, 238, 46, -8),
    Fruit(482, 226, 40, 25), Fruit(236, 432, 50, 5), Fruit(288, 452, 42, -30), Fruit(566, 346, 42, 12),
    Fruit(78, 492, 40, -14), Fruit(508, 556, 48, 10), Fruit(460, 572, 36, 35), Fruit(346, 334, 34, -40),
    Fruit(212, 226, 30, 20, ripe=False), Fruit(398, 424, 32, -15, ripe=False), Fruit(556, 512, 30, 30, ripe=False))


def foil(random: np.random.Generator) -> Field:
    """Black foil, wrinkled, with grains of soil on it."""
    wrinkles = np.abs(noise(random, 14)) ** 0.6 + 0.5 * np.abs(noise(random, 40)) ** 0.6
    lit = 0.65 + 0.55 * ramp(wrinkles, 0.1, 1.3) + 0.12 * noise(random, 3)
    picture = np.asarray(FOIL) * lit[..., None]
    return paint(picture, (112, 92, 72), 0.75 * ramp(noise(random, 260) + 0.5 * noise(random, 5), 0.75, 1.1))


@dataclass(frozen=True)
class Patch:
    """The part of a picture around a place of it: only there a thing is drawn. `across` and `along` tell of each of its
    pixels how far it is from the place, in a frame turned by some degrees."""

    picture: Field
    rough: Field
    across: Field
    along: Field

    @classmethod
    def around(cls, picture: Field, rough: Field, place: tuple[float, float], turn: float, reach: float) -> Patch:
        """`place` and `reach` are in pixels of the finished picture."""
        x, y, far = (part * OVERSAMPLING for part in (*place, reach))
        rows, columns = (slice(max(0, int(part - far)), max(0, int(part + far))) for part in (y, x))
        down, right = np.mgrid[0:CANVAS, 0:CANVAS][:, rows, columns].astype(np.float64)
        down, right, angle = down - y, right - x, math.radians(turn)
        return cls(picture[rows, columns], rough[rows, columns],
                   right * math.cos(angle) - down * math.sin(angle), right * math.sin(angle) + down * math.cos(angle))

    def paint(self, colour: tuple[float, float, float] | Field, cover: Field) -> None:
        """Lay a colour over the picture, as thick as `cover` says."""
        self.picture[:] = paint(self.picture, colour, cover)

    def cast_shadow(self, cover: Field) -> None:
        """Darken what lies at the lower left of a thing."""
        shift = CANVAS // 90
        moved = np.roll(cover, (shift, -shift), axis=(0, 1))
        self.paint(self.picture * 0.35, 0.8 * blur(moved, 2))


def leaflet(patch: Patch, random: np.random.Generator, length: float) -> None:
    """One leaflet that leaves the patch's place, toothed, folded along its midrib."""
    across, along = patch.across / (length * OVERSAMPLING), patch.along / (length * OVERSAMPLING)
    shape = 0.72 * np.clip(along, 0, 1) ** 0.75 * np.clip(1 - along, 0, 1) ** 0.45
    teeth = 1 + 0.09 * np.abs(((along * 9) % 1) - 0.5)
    cover = ramp(shape * teeth - np.abs(across), -0.004, 0.01) * ((along > 0) & (along < 1))
    veins = np.abs(((along - 0.6 * np.abs(across)) * 8) % 1 - 0.5)
    lit = 0.78 + 0.22 * np.sign(across) * ramp(np.abs(across), 0, 0.04) + 0.25 * veins + 0.1 * patch.rough
    green = np.asarray((72, 116, 52)) * random.uniform(0.75, 1.2)
    patch.cast_shadow(cover)
    patch.paint(paint(green * lit[..., None], (150, 178, 104), 0.55 * (1 - ramp(np.abs(across), 0.004, 0.016))), cover)


def crown(picture: Field, rough: Field, random: np.random.Generator, x: float, y: float) -> None:
    """Leaves of three leaflets each around the heart of a plant."""
    for turn in random.permutation(np.arange(0, 360, 45)) + random.uniform(-20, 20, 8):
        reach, angle = random.uniform(8, 74), math.radians(turn)
        place = x * CANVAS / OVERSAMPLING + reach * math.sin(angle), y * CANVAS / OVERSAMPLING + reach * math.cos(angle)
        length = random.uniform(42, 62)
        for spread in (-62, 62, 0):
            leaflet(Patch.around(picture, rough, place, turn + spread, 1.4 * length), random, length)


def strawberry(picture: Field, rough: Field, fruit: Fruit) -> None:
    """A fruit: a rounded cone with seeds, a highlight and its green collar."""
    patch = Patch.around(picture, rough, (fruit.x, fruit.y), fruit.turn, 1.2 * fruit.width)
    across, along = (field / (fruit.width * OVERSAMPLING / 2) for field in (patch.across, patch.along))
    wide = width_of(along)
    cover = ramp(wide - np.abs(across), -0.02, 0.05)
    round_ = np.sqrt(np.clip(1 - (across / np.maximum(wide, 0.05)) ** 2, 0, 1))
    lit = np.clip(0.5 + 0.55 * round_ + 0.18 * across - 0.12 * along + 0.05 * patch.rough, 0.3, 1.25)
    skin = np.asarray(RIPE if fruit.ripe else UNRIPE) * lit[..., None]
    skin = paint(skin, (226, 178, 84), 0.7 * (1 - ramp(seed_distance(across, along, wide), 0.1, 0.24)))
    gloss = 1 - ramp(np.hypot(across - 0.28, along + 0.3), 0.02, 0.32)
    patch.cast_shadow(cover)
    patch.paint(paint(skin, (255, 236, 228), 0.6 * gloss), cover)
    collar(patch, across, along)


def width_of(along: Field) -> Field:
    """Half of the fruit's width, from its shoulders at -0.85 to its tip at 1.05."""
    tip, shoulder = (np.sqrt(np.clip(1 - ((along + 0.1) / length) ** 2, 0, 1)) for length in (1.15, 0.75))
    return np.where(along > -0.1, tip ** 1.15, shoulder)


def seed_distance(across: Field, along: Field, wide: Field) -> Field:
    """How far each place is from the next seed; they sit in staggered rows."""
    rows = along * SEEDS_ACROSS
    columns = across * SEEDS_ACROSS / np.maximum(wide, 0.3) + 0.5 * (np.floor(rows) % 2)
    return np.hypot(columns % 1 - 0.5, rows % 1 - 0.5)


def collar(patch: Patch, across: Field, along: Field) -> None:
    """Pointed sepals around the stalk."""
    away, angle = np.hypot(across, (along + 0.78) * 1.5), np.arctan2(along + 0.78, across)
    rim = 0.3 + 0.34 * np.abs(np.cos(angle * 3.5))
    lit = 0.8 + 0.4 * np.clip(rim - away, 0, 1)
    patch.paint(np.asarray((96, 142, 62)) * lit[..., None], ramp(rim - away, -0.02, 0.05))


def main() -> None:
    """Write the picture."""
    random = np.random.default_rng(SEED)
    picture, rough = foil(random), noise(random, 160)
    for x, y in CROWNS:
        crown(picture, rough, random, x, y)
    for fruit in FRUITS:
        strawberry(picture, rough, fruit)
    finish(picture, random).save(SAMPLES / "strawberries.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    main()
