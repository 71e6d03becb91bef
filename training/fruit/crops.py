"""Training pictures: random windows of photographs, put beside each other with cuts, and their boxes.

A strawberry may lie anywhere: in the middle, cut by a seam, cut by the rim. The network then learns to judge it
by what is seen of it, and a large picture that is searched in tiles gives the boxes that a single frame gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from training.fruit.frames import Frame, read_aerials, read_frames, read_leaves
from training.photographs import ByteArray, FloatArray, open_picture

LEAST_SEEN = 0.3  # share of a box that must be left by a cut for it to count as a strawberry
LEAST_SIDE = 5  # pixels that must be left of it each way
SEAMS = 0.5  # share of the pictures that are cut once or more
UNSCALED = 0.35  # share of the field windows taken pixel by pixel, as sharp as the frames that are searched
CENTRED = 0.5  # share of the windows placed around some strawberry or, where there is none, something reddish
REDDISH = 12  # of 255: how far red must lead green and blue
MOST_POINTS = 150  # the reddest ones of a photograph
REDDISH_SIDE = 256  # pixels of the longer side of the small picture that is searched for red

Window = tuple[float, float, float, float]


@dataclass(frozen=True)
class Source:
    """A photograph with its boxes [n, 4], points [m, 2] worth a look, and the range of scales it is seen at."""

    image: Image.Image
    boxes: FloatArray
    points: FloatArray
    scales: tuple[float, float]


@dataclass(frozen=True)
class Crop:
    """A picture [S, S, 3], the boxes [n, 4] of its strawberries and boxes [m, 4] where nothing is asked."""

    pixels: ByteArray
    boxes: FloatArray
    unclear: FloatArray


@dataclass(frozen=True)
class Pool:
    """Photographs of one kind and the share of windows they get."""

    share: float
    sources: Sequence[Source]


def read_pools(data: Path) -> list[Pool]:
    """Field frames of the train split and pictures without a strawberry, decoded."""
    fields = [load_field(frame) for frame in read_frames(data, "train")]
    leaves = [load_empty(path, (1.2, 4.0)) for path in read_leaves(data, "train")]
    aerials = [path for path in read_aerials(data) if not path.name.startswith("derived")]
    large = [load_empty(path, (0.14, 1.6)) for path in aerials]
    return [Pool(0.74, fields), Pool(0.1, leaves), Pool(0.16, large)]


def load_field(frame: Frame) -> Source:
    """A field frame, decoded."""
    middles = np.asarray((frame.boxes[:, :2] + frame.boxes[:, 2:]) / 2, dtype=np.float32)
    return Source(open_picture(frame.path), frame.boxes, middles, (0.65, 1.6))


def load_empty(path: Path, scales: tuple[float, float]) -> Source:
    """A photograph without a strawberry, decoded; its reddish places are what could be taken for one."""
    image = open_picture(path)
    return Source(image, np.zeros((0, 4), dtype=np.float32), reddish(image), scales)


def reddish(image: Image.Image) -> FloatArray:
    """Points (x, y), shape [m, 2], where red leads green and blue most."""
    step = max(1, max(image.size) // REDDISH_SIDE)
    small = np.asarray(image.reduce(step), dtype=np.int16)
    lead = small[..., 0] - small[..., 1:].max(axis=2)
    best = np.argsort(-lead, axis=None, kind="stable")[:MOST_POINTS]
    rows, columns = np.unravel_index(best[lead.flat[best] > REDDISH], lead.shape)
    return (np.stack([columns, rows], axis=1).astype(np.float32) + 0.5) * step


class Cropper:
    """Draws training pictures from pools of photographs."""

    def __init__(self, pools: Sequence[Pool], seed: int) -> None:
        self.pools = pools
        self.shares = np.cumsum([pool.share for pool in pools])
        self.random = np.random.default_rng(seed)

    def __call__(self, size: int) -> Crop:
        """One picture of `size` pixels a side: a single window, or several with seams between them."""
        canvas = np.zeros((size, size, 3), dtype=np.uint8)
        found = [self._fill(canvas, part) for part in self._parts(size)]
        return Crop(canvas, np.concatenate([kept for kept, _ in found]), np.concatenate([cut for _, cut in found]))

    def _parts(self, size: int) -> list[tuple[int, int, int, int]]:
        """Left, top, right, bottom of the parts: one, two or four."""
        across, down = (int(self.random.uniform(0.15, 0.85) * size) for _ in range(2))
        columns = [(0, across), (across, size)] if self.random.random() < SEAMS else [(0, size)]
        rows = [(0, down), (down, size)] if self.random.random() < SEAMS * len(columns) / 2 else [(0, size)]
        return [(left, top, right, bottom) for left, right in columns for top, bottom in rows]

    def _fill(self, canvas: ByteArray, part: tuple[int, int, int, int]) -> tuple[FloatArray, FloatArray]:
        """Puts a random window there; boxes kept and boxes cut too hard, in pixels of the canvas."""
        left, top, right, bottom = part
        width, height = right - left, bottom - top
        source = self._source()
        window = self._window(source, width, height)
        pixels = source.image.resize((width, height), Image.Resampling.BILINEAR, window, reducing_gap=2.0)
        boxes = to_window(source.boxes, window, width, height)
        mirrored, boxes = self._mirror(np.asarray(pixels), boxes)
        canvas[top:bottom, left:right] = mirrored
        kept, cut = clip(boxes, width, height)
        offset = np.array([left, top, left, top], dtype=np.float32)
        return kept + offset, cut + offset

    def _source(self) -> Source:
        """A photograph of a random kind."""
        number = int(np.searchsorted(self.shares, self.random.random() * self.shares[-1], side="right"))
        sources = self.pools[number].sources
        return sources[int(self.random.integers(len(sources)))]

    def _window(self, source: Source, width: int, height: int) -> Window:
        """What of the photograph is shown in a part of that many pixels."""
        across, down = self._scales(source)
        wide, high = source.image.size
        # The window must fit into the photograph: rather enlarge than invent pixels.
        needed = max(1.0, width / wide / across, height / high / down)
        span_x, span_y = width / (across * needed), height / (down * needed)
        target = self._target(source)
        left = self._start(wide, span_x, None if target is None else target[0])
        top = self._start(high, span_y, None if target is None else target[1])
        return left, top, min(left + span_x, wide), min(top + span_y, high)

    def _scales(self, source: Source) -> tuple[float, float]:
        """Pixels of the picture for one of the photograph, across and down."""
        if len(source.boxes) and self.random.random() < UNSCALED:
            return 1.0, 1.0
        low, high = source.scales
        scale = math.exp(self.random.uniform(math.log(low), math.log(high)))
        aspect = math.exp(self.random.uniform(-0.2, 0.2))
        return scale * aspect, scale / aspect

    def _target(self, source: Source) -> FloatArray | None:
        """A point (x, y) that the window must show, or nothing."""
        if not len(source.points) or self.random.random() > CENTRED:
            return None
        return np.asarray(source.points[self.random.integers(len(source.points))])

    def _start(self, length: int, span: float, target: float | None) -> float:
        """Begin of a window along one side, in whole pixels; often right at the photograph's rim."""
        room = max(0.0, length - span)  # rounding may leave it just below
        low, high = (-0.1 * room, 1.1 * room) if target is None else (target - span, target)
        return float(math.floor(np.clip(self.random.uniform(low, high), 0, room)))

    def _mirror(self, pixels: ByteArray, boxes: FloatArray) -> tuple[ByteArray, FloatArray]:
        """Half of the windows swap left and right, half up and down."""
        boxes = boxes.copy()
        if self.random.random() < 0.5:
            pixels, boxes[:, [0, 2]] = pixels[:, ::-1], pixels.shape[1] - boxes[:, [2, 0]]
        if self.random.random() < 0.5:
            pixels, boxes[:, [1, 3]] = pixels[::-1], pixels.shape[0] - boxes[:, [3, 1]]
        return pixels, boxes


def to_window(boxes: FloatArray, window: Window, width: int, height: int) -> FloatArray:
    """Boxes of the photograph in pixels of its window, which is shown as width x height pixels."""
    left, top, right, bottom = window
    scale = np.array([width / (right - left), height / (bottom - top)] * 2, dtype=np.float32)
    return (boxes - np.array([left, top, left, top], dtype=np.float32)) * scale


def clip(boxes: FloatArray, width: int, height: int) -> tuple[FloatArray, FloatArray]:
    """What the rim leaves of the boxes: those that still count, and remnants too small to say."""
    limits = np.array([width, height, width, height], dtype=np.float32)
    clipped = np.clip(boxes, 0, limits)
    sides, whole = clipped[:, 2:] - clipped[:, :2], boxes[:, 2:] - boxes[:, :2]
    seen = sides.prod(axis=1) / whole.prod(axis=1)
    counts = (seen >= LEAST_SEEN) & (sides.min(axis=1) >= LEAST_SIDE)
    return clipped[counts], clipped[~counts & (sides.min(axis=1) > 0)]
