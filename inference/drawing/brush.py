"""Boxes, lines and dots on an image; slanted ones without steps where it is looked at pixel by pixel."""

from collections.abc import Sequence
from math import ceil, floor

from PIL import Image, ImageDraw

from inference.drawing.colors import Color

Box = tuple[float, float, float, float]
Point = tuple[float, float]
LARGEST_SMOOTH = 4_000_000  # pixels of an image: larger ones are shown smaller, and that smooths them
LARGEST_PART = 1_000_000  # pixels that are drawn finely at a time
FINE = 4  # times as many pixels a side


class Brush:
    """Draws on one image."""

    def __init__(self, image: Image.Image) -> None:
        self._image, self._pen = image, ImageDraw.Draw(image)
        self._most = LARGEST_PART if image.width * image.height <= LARGEST_SMOOTH else 0

    def box(self, box: Box, color: Color, width: int) -> None:
        self._pen.rectangle(box, outline=color, width=width)

    def line(self, points: Sequence[Point], color: Color, width: int) -> None:
        if (part := self._part(points, width)) is None:
            self._pen.line(points, fill=color, width=width)
            for corner in points[1:-1]:
                self._pen.circle(corner, (width - 1) / 2, fill=color)
        else:
            mask = _mask(part)
            fine = [_fine(point, part) for point in points]
            ImageDraw.Draw(mask).line(fine, fill=255, width=width * FINE, joint="curve")
            self._image.paste(color, part[:2], mask.reduce(FINE))

    def dot(self, middle: Point, radius: int, color: Color) -> None:
        if (part := self._part([middle], radius)) is None:
            self._pen.circle(middle, radius, fill=color)
        else:
            mask = _mask(part)
            ImageDraw.Draw(mask).circle(_fine(middle, part), radius * FINE, fill=255)
            self._image.paste(color, part[:2], mask.reduce(FINE))

    def _part(self, points: Sequence[Point], margin: int) -> tuple[int, int, int, int] | None:
        """Of the image that is drawn on, to be drawn finely; None where that is too large or empty."""
        if not self._most:
            return None
        columns, rows = zip(*points, strict=True)
        left, top = max(0, floor(min(columns) - margin)), max(0, floor(min(rows) - margin))
        right = min(self._image.width, ceil(max(columns) + margin + 1))
        bottom = min(self._image.height, ceil(max(rows) + margin + 1))
        is_fine = right > left and bottom > top and (right - left) * (bottom - top) <= self._most
        return (left, top, right, bottom) if is_fine else None


def _mask(part: tuple[int, int, int, int]) -> Image.Image:
    left, top, right, bottom = part
    return Image.new("L", ((right - left) * FINE, (bottom - top) * FINE))


def _fine(point: Point, part: tuple[int, int, int, int]) -> Point:
    """Where the middle of a pixel is among finer ones."""
    return (point[0] - part[0] + 0.5) * FINE - 0.5, (point[1] - part[1] + 0.5) * FINE - 0.5
