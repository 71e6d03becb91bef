"""Where an image lands on a model's input. Pure; the pixel work is in `transforms.py`."""

import math
from dataclasses import dataclass

from inference.model_toml import MAX_SIDE
from inference.spec import InputSpec, Size

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Placement:
    """`source`, a box of the upright image, is shown in `target`, a box of the model's input of `input_size`.

    What the input shows outside of `target` is filled.
    """

    image_size: Size
    source: Box
    input_size: Size
    target: tuple[int, int, int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the input per pixel of the image, across and down."""
        return ((self.target[2] - self.target[0]) / (self.source[2] - self.source[0]),
                (self.target[3] - self.target[1]) / (self.source[3] - self.source[1]))

    @property
    def whole_size(self) -> Size:
        """What the whole image measures at the scale at which its part is shown."""
        across, down = self.scale
        return math.ceil(self.image_size[0] * across), math.ceil(self.image_size[1] * down)


def place(image_size: Size, wanted: InputSpec) -> Placement:
    """Where the whole image lands, by the model's `resize`."""
    return _PLACERS[wanted.resize](image_size, wanted)


def _stretch(image_size: Size, wanted: InputSpec) -> Placement:
    """Take the whole image; with `shortest_edge` the middle of what was stretched to a square of it (timm's squash)."""
    size = wanted.size or rounded_up(image_size, wanted.multiple_of)
    shares = [min(1.0, side / wanted.shortest_edge) if wanted.shortest_edge else 1.0 for side in size]
    left, top = (side * (1 - share) / 2 for side, share in zip(image_size, shares, strict=True))
    return Placement(image_size, (left, top, image_size[0] - left, image_size[1] - top), size, (0, 0, *size))


def _crop(image_size: Size, wanted: InputSpec) -> Placement:
    """The shorter side becomes `shortest_edge`, the middle of that is cut out (torchvision's Resize, CenterCrop)."""
    assert wanted.size is not None
    size = wanted.size
    whole = _with_shorter_side(image_size, wanted.shortest_edge) if wanted.shortest_edge else _cover(image_size, size)
    spare = whole[0] - size[0], whole[1] - size[1]
    left, top = (side // 2 if wanted.crop_down else round(side / 2) for side in spare)
    across, down = image_size[0] / whole[0], image_size[1] / whole[1]
    inner = (max(left, 0), max(top, 0), min(left + size[0], whole[0]), min(top + size[1], whole[1]))
    source = (inner[0] * across, inner[1] * down, inner[2] * across, inner[3] * down)
    target = (inner[0] - left, inner[1] - top, inner[2] - left, inner[3] - top)
    return Placement(image_size, source, size, target)


def _letterbox(image_size: Size, wanted: InputSpec) -> Placement:
    """Place the whole image with its aspect; the rest of the input is filled."""
    assert wanted.size is not None
    size = wanted.size
    scale = min(size[0] / image_size[0], size[1] / image_size[1])
    inner = tuple(max(1, round(side * scale)) for side in image_size)
    left, top = ((0, 0) if wanted.anchor == "top-left" else ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return Placement(image_size, (0, 0, *image_size), size, (left, top, left + inner[0], top + inner[1]))


def _fit(image_size: Size, wanted: InputSpec) -> Placement:
    """Keep the image's aspect at a size of its own, filled up at the right and below to `multiple_of`."""
    scale = wanted.shortest_edge / min(image_size) if wanted.shortest_edge else 1.0
    if wanted.longest_edge or wanted.shortest_edge:  # the longer edge of an image of 20000x10 would be a million
        scale = min(scale, (wanted.longest_edge or MAX_SIDE) / max(image_size))
    inner = (max(1, int(image_size[0] * scale)), max(1, int(image_size[1] * scale)))
    size = rounded_up(inner, wanted.multiple_of)
    return Placement(image_size, (0, 0, *image_size), size, (0, 0, *inner))


_PLACERS = {"stretch": _stretch, "crop": _crop, "letterbox": _letterbox, "fit": _fit}


def _with_shorter_side(size: Size, side: int) -> Size:
    """The size by torchvision's rule, which rounds the longer side down."""
    width, height = size
    return (side, int(side * height / width)) if width <= height else (int(side * width / height), side)


def _cover(image_size: Size, size: Size) -> Size:
    """The smallest size of the image's aspect that covers `size`."""
    scale = max(size[0] / image_size[0], size[1] / image_size[1])
    return max(size[0], round(image_size[0] * scale)), max(size[1], round(image_size[1] * scale))


def rounded_up(size: Size, multiple: int) -> Size:
    """The next larger size whose sides are multiples."""
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple
