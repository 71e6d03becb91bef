"""OpenCV's INTER_LINEAR: between the two nearest pixels each way, however much an image shrinks.

Pillow's bilinear filter widens to the area that it shrinks, as antialiasing asks for; models whose training and
prediction resize with `cv2.resize` see other pixels. This is OpenCV's own arithmetic in whole numbers (resize.cpp,
HResizeLinear and VResizeLinear), bit for bit.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.geometry import Box
from inference.spec import Size

WEIGHT = 2048  # stands for 1; OpenCV's INTER_RESIZE_COEF_SCALE
# Pixels that a position must lie away from a pixel's middle to be between two pixels: Pillow adds up steps, which
# over 8192 of them is off by less.
EPSILON = 1e-6
Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int32]


@dataclass(frozen=True)
class _Axis:
    """Where the pixels of one axis of the result lie: in steps of `step` from `start`, pixels of the image's middles.

    `end` is the first pixel behind the box, (first, end) being what may be looked at.
    """

    start: float
    step: float
    first: int
    end: int
    count: int

    @classmethod
    def of(cls, low: float, high: float, length: int, count: int) -> "_Axis":
        """Of `count` pixels that show the image, `length` pixels long, from `low` to `high`."""
        step = (high - low) / count
        return cls(low + step / 2 - 0.5, step, max(0, math.floor(low)), min(length, math.ceil(high)), count)

    @property
    def positions(self) -> NDArray[np.float64]:
        return self.start + np.arange(self.count, dtype=np.float64) * self.step

    @property
    def inside(self) -> bool:
        """Whether both pixels that each position lies between are in the image."""
        return self.start >= self.first and self.start + (self.count - 1) * self.step <= self.end - 1

    def taps(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The pixels (count,) before and behind each position, those of the rim repeated."""
        before = np.floor(self.positions + EPSILON).astype(np.intp)
        return before.clip(self.first, self.end - 1), (before + 1).clip(self.first, self.end - 1)

    def weights(self) -> tuple[Numbers, Numbers]:
        """Those (count,) of the two taps."""
        behind = (self.positions.astype(np.float32) - np.floor(self.positions + EPSILON).astype(np.float32)).clip(0, 1)
        return _whole(1 - behind), _whole(behind)


def linear(image: Image.Image, box: Box, size: Size) -> Image.Image:
    """A box of an RGB image at `size`, as `cv2.resize(image[box], size, interpolation=cv2.INTER_LINEAR)` has it."""
    across = _Axis.of(box[0], box[2], image.width, size[0])
    down = _Axis.of(box[1], box[3], image.height, size[1])
    taps = _picked(image, across, down) if across.inside and down.inside else _indexed(image, across, down)
    rows = [_blended(*pair, *(weight[:, np.newaxis] for weight in across.weights())) for pair in taps]
    above, below = (weight[:, np.newaxis, np.newaxis] for weight in down.weights())
    return Image.fromarray(_finished(rows[0], rows[1], above, below))


def _whole(weights: NDArray[np.float32]) -> Numbers:
    return np.rint(weights * np.float32(WEIGHT)).astype(np.int32)


def _picked(image: Image.Image, across: _Axis, down: _Axis) -> list[tuple[Bytes, Bytes]]:
    """The four pixels around each position, the upper two first; Pillow picks them without a copy of the image.

    The first tap is moved by an epsilon forwards, the second one back: a position in a pixel's middle gets that pixel
    twice, whichever way the sum of steps is off.
    """
    return [(_pick(image, across, down, EPSILON, dy), _pick(image, across, down, 1 - EPSILON, dy))
            for dy in (EPSILON, 1 - EPSILON)]


def _pick(image: Image.Image, across: _Axis, down: _Axis, dx: float, dy: float) -> Bytes:
    """The pixels (h, w, 3) in which positions lie that are moved by (dx, dy), a pixel beginning at its number."""
    matrix = (across.step, 0, across.start - across.step / 2 + dx, 0, down.step, down.start - down.step / 2 + dy)
    return np.asarray(image.transform((across.count, down.count), Image.Transform.AFFINE, matrix,
                                      Image.Resampling.NEAREST))


def _indexed(image: Image.Image, across: _Axis, down: _Axis) -> list[tuple[Bytes, Bytes]]:
    """The same where taps are beyond the rim, as where an image is enlarged."""
    part = np.asarray(image.crop((across.first, down.first, across.end, down.end)))
    columns = [tap - across.first for tap in across.taps()]
    return [(part[row][:, columns[0]], part[row][:, columns[1]]) for row in (tap - down.first for tap in down.taps())]


def _blended(before: Bytes, behind: Bytes, weight_before: Numbers, weight_behind: Numbers) -> Numbers:
    """Between the columns, times WEIGHT."""
    blended = before * weight_before
    blended += behind * weight_behind
    return blended


def _finished(above: Numbers, below: Numbers, weight_above: Numbers, weight_below: Numbers) -> Bytes:
    """Between the rows, rounded as OpenCV rounds: its vector code has 16 bits for a row."""
    for rows, weights in ((above, weight_above), (below, weight_below)):
        rows >>= 4
        rows *= weights
        rows >>= 16
    above += below
    above += 2
    above >>= 2
    return above.astype(np.uint8)
