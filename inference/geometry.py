"""Where an image lands on a model's input. Pure; the pixel work is in `transforms.py`."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from inference.model_toml import MAX_SIDE, Anchor, Rounding
from inference.spec import InputSpec, Size

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
WHOLE: dict[Rounding, Callable[[float], int]] = {"nearest": round, "down": math.floor, "up": math.ceil}
LAST_BIT = 1e-9


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
    """Place the whole image with its aspect; the rest of the input is filled, in rectangles as little as can be."""
    assert wanted.size is not None
    size, inner = wanted.size, _inside(image_size, wanted.size, wanted)
    if wanted.in_rectangles:  # Ultralytics' LetterBox(auto=True)
        width, height = (own + (side - own) % wanted.multiple_of for own, side in zip(inner, size, strict=True))
        size = width, height
    return _on_canvas(image_size, inner, size, wanted.anchor or "center")


def _fit(image_size: Size, wanted: InputSpec) -> Placement:
    """Keep the image's aspect at a size of its own.

    Its sides become multiples of `multiple_of`: with `rounding` the image is resized to them, else it is filled up.
    """
    inner = _by_edges(image_size, wanted)
    if wanted.rounding:
        size = _in_multiples(inner, wanted.multiple_of, wanted.rounding)
        return Placement(image_size, (0, 0, *image_size), size, (0, 0, *size))
    return _on_canvas(image_size, inner, rounded_up(inner, wanted.multiple_of), wanted.anchor or "top-left")


def _closest(image_size: Size, wanted: InputSpec) -> Placement:
    """Keep the image's aspect, but for sides that become multiples, at a size of its own: as wide or as high as
    `size`, by whichever changes the image less (`keep_aspect_ratio` of transformers' image_processing_dpt.py).

    With a `margin` the image is surrounded first, by as much as in transformers' image_processing_zoedepth.py.
    """
    assert wanted.size is not None
    spare = [int(wanted.margin * math.sqrt(side / 2)) for side in image_size]
    whole = image_size[0] + 2 * spare[0], image_size[1] + 2 * spare[1]
    scale = min((wanted.size[1] / whole[1], wanted.size[0] / whole[0]), key=lambda scale: abs(1 - scale))
    scale = min(scale, MAX_SIDE / max(whole))
    size = _in_multiples((whole[0] * scale, whole[1] * scale), wanted.multiple_of, wanted.rounding or "nearest")
    if not wanted.margin:
        return Placement(image_size, (0, 0, *image_size), size, (0, 0, *size))
    (left, first, right, end), (top, upper, bottom, lower) = (
        _surrounded(image_size[axis], spare[axis], size[axis]) for axis in (0, 1))
    return Placement(image_size, (left, top, right, bottom), size, (first, upper, end, lower))


_PLACERS = {"stretch": _stretch, "crop": _crop, "letterbox": _letterbox, "fit": _fit, "closest": _closest}


def _on_canvas(image_size: Size, inner: Size, size: Size, anchor: Anchor) -> Placement:
    """The whole image, resized to `inner`, on an input of `size`."""
    left, top = (0, 0) if anchor == "top-left" else ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
    return Placement(image_size, (0, 0, *image_size), size, (left, top, left + inner[0], top + inner[1]))


def _surrounded(side: int, spare: int, length: int) -> tuple[float, int, float, int]:
    """One axis of an image with `spare` pixels around it, resized so that the middles of its corner pixels lie on those
    of the input's: where the image's own pixels begin on both, and where they end on both."""
    if not spare or length == 1:
        return 0.0, 0, float(side), length
    step = (side + 2 * spare - 1) / (length - 1)  # pixels of the image per pixel of the input
    corner = 0.5 - step / 2 - spare
    first, end = math.ceil(-corner / step), math.floor((side - corner) / step)
    if first >= end:  # the image is smaller than a pixel of the input
        return 0.0, length // 2, float(side), length // 2 + 1
    return corner + first * step, first, corner + end * step, end


def _inside(image_size: Size, size: Size, wanted: InputSpec) -> Size:
    """The image's size at the scale of its edges, where it has some and fits into `size` then; else the largest that
    fits."""
    if wanted.shortest_edge or wanted.longest_edge:
        inner = _by_edges(image_size, wanted)
        if inner[0] <= size[0] and inner[1] <= size[1]:
            return inner
    scale = min(size[0] / image_size[0], size[1] / image_size[1]) / (1 + 2 * wanted.margin)
    whole = WHOLE[wanted.rounding or "nearest"]
    width, height = (min(side, max(1, whole(own * scale))) for side, own in zip(size, image_size, strict=True))
    return width, height


def _by_edges(image_size: Size, wanted: InputSpec) -> Size:
    """The image's size at the scale of its edges, by the arithmetic of DETR's get_size_with_aspect_ratio in
    transformers' image_transforms.py, and for a longest edge alone by that of its image_processing_sam.py."""
    if not wanted.shortest_edge and not wanted.longest_edge:
        return image_size
    shorter, longer = min(image_size), max(image_size)
    limit = wanted.longest_edge or MAX_SIDE  # the longer side of an image of 20000x10 would be a million
    exact: float = wanted.shortest_edge or limit * shorter / longer
    if not wanted.shortest_edge:
        sides = int(exact + 0.5), limit
    elif longer / shorter * exact > limit:
        exact = limit * shorter / longer
        sides = round(exact), int(exact * longer / shorter)
    else:
        sides = wanted.shortest_edge, int(exact * longer / shorter)
    short, long = max(1, sides[0]), max(1, sides[1])
    return (short, long) if image_size[0] <= image_size[1] else (long, short)


def _in_multiples(sides: tuple[float, float], multiple: int, rounding: Rounding) -> Size:
    """Sides in whole multiples, at least one. A side that is a multiple but for its last bit is that multiple."""
    aside = {"nearest": 0.0, "down": LAST_BIT, "up": -LAST_BIT}[rounding]
    width, height = (max(1, WHOLE[rounding](side / multiple + aside)) * multiple for side in sides)
    return width, height


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
