"""Outlines, masks and keypoints, each with a thin halo by which it is seen on any ground."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.drawing.brush import Box, Brush, Point
from inference.drawing.colors import Color, readable_on
from inference.skeleton import COCO_KEYPOINTS, COCO_LIMBS

MASK_OPACITY = 0.4
TILE_OPACITY = (0.1, 0.55)  # of a tile with score 0 and 1
BAND = 256  # rows of tiles that are painted at a time, in little memory
SEEN = 0.5  # score from which a keypoint is drawn
SMALL = 5  # lines wide or high
THICK = 4  # pixels: a thinner line of a box has its halo outside only, else little of its colour would be seen


def box_of(found: Mapping) -> Box:
    box = found["box"]
    return box["xmin"], box["ymin"], box["xmax"], box["ymax"]


def outline(brush: Brush, found: Mapping, color: Color, width: int) -> None:
    """A box, or the polygon of a turned one, along the pixels that it holds; a small box around them, as within them
    its line would hide what is in it."""
    if "polygon" in found:
        corners = [(corner["x"], corner["y"]) for corner in found["polygon"]]
        _line(brush, [*corners, *corners[:2]], color, width)
        return
    left, top, right, bottom = box_of(found)
    right, bottom = max(left, right - 1), max(top, bottom - 1)
    if min(right - left, bottom - top) < SMALL * width:
        left, top, right, bottom = left - width, top - width, right + width, bottom + width
    halo, edge = readable_on(color), halo_of(width)
    brush.box((left - edge, top - edge, right + edge, bottom + edge), halo, edge)
    if width >= THICK:
        brush.box((left + width, top + width, right - width, bottom - width), halo, edge)
    brush.box((left, top, right, bottom), color, width)


def halo_of(width: int) -> int:
    """How wide the halo of a line is at each side."""
    return max(1, width // 3)


def skeleton(brush: Brush, keypoints: Sequence[Mapping], color: Color, width: int) -> None:
    """Dots, and lines between those that belong together; a keypoint that the model does not see is left out."""
    seen = {number: (point["x"], point["y"]) for number, point in enumerate(keypoints)
            if point["score"] is None or point["score"] >= SEEN}
    for start, end in COCO_LIMBS if len(keypoints) == len(COCO_KEYPOINTS) else ():
        if start in seen and end in seen:
            _line(brush, (seen[start], seen[end]), color, width)
    for point in seen.values():
        brush.dot(point, width + 1 + halo_of(width), readable_on(color))
        brush.dot(point, width + 1, color)


def paint_mask(image: Image.Image, mask: Image.Image, color: Color, width: int) -> None:
    """The mask in translucent colour, its edge opaque, and a halo outside of the edge. Works on the part of the image
    that the mask takes."""
    if (part := _part(mask, width)) is None:
        return
    left, top, _, _ = part
    inside = np.asarray(mask.crop(part)) > 0
    opacity = np.where(inside, np.uint8(MASK_OPACITY * 255), np.uint8(0))
    opacity[_rim(inside, width)] = 255
    image.paste(color, (left, top), Image.fromarray(opacity))
    halo = _rim(~inside, halo_of(width)).view(np.uint8) * np.uint8(255)
    image.paste(readable_on(color), (left, top), Image.fromarray(halo))


def paint_tiles(image: Image.Image, size: tuple[int, int], tiles: Sequence[Mapping],
                colors: Mapping[str, Color]) -> None:
    """Each tile in its label's colour, the more opaque the higher its score; later tiles hide what they overlap."""
    for above in range(0, size[1], BAND):
        rows = min(BAND, size[1] - above)
        paint, opacity = Image.new("RGB", (size[0], rows)), Image.new("L", (size[0], rows))
        for tile in tiles:
            left, top, right, bottom = map(round, box_of(tile))
            if top < above + rows and bottom > above:
                part = (left, max(top - above, 0), right, min(bottom - above, rows))
                paint.paste(colors[tile["label"]], part)
                opacity.paste(_opacity(tile["score"]), part)
        image.paste(paint, (0, above), opacity)


def _opacity(score: float) -> int:
    low, high = TILE_OPACITY
    return round(255 * (low + (high - low) * score))


def _line(brush: Brush, points: Sequence[Point], color: Color, width: int) -> None:
    brush.line(points, readable_on(color), width + 2 * halo_of(width))
    brush.line(points, color, width)


def _part(mask: Image.Image, width: int) -> tuple[int, int, int, int] | None:
    """The box that holds the mask and the halo around it; None for one that is empty."""
    if (box := mask.getbbox()) is None:
        return None
    more = max(width, halo_of(width))
    return (max(0, box[0] - more), max(0, box[1] - more), min(mask.width, box[2] + more),
            min(mask.height, box[3] + more))


def _rim(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The pixels of a mask within `width` of one outside, along its rows and columns; the part's edge is no rim."""
    inner = mask.copy()
    inner[width:] &= mask[:-width]
    inner[:-width] &= mask[width:]
    inner[:, width:] &= mask[:, :-width]
    inner[:, :-width] &= mask[:, width:]
    return mask & ~inner
