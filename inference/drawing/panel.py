"""What is written beside an image: predictions, a legend with counts, or the colour bar of depths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from inference.drawing.colors import Color
from inference.drawing.fonts import Font, Fonts

GROUND, INK, PALE, EMPTY = (24, 25, 28), (245, 245, 245), (150, 152, 158), (60, 62, 68)
SMALLEST_FONT, LARGEST_FONT, FONT_SHARE = 13, 120, 0.02  # pixels; of the image's shorter side
MOST_LETTERS = 40
Size = tuple[int, int]


@dataclass(frozen=True)
class Line:
    """`label` is whose colour stands before the text; `share` (0..1), if there is one, is drawn as a bar."""

    text: str
    label: str | None = None
    share: float | None = None


@dataclass(frozen=True)
class Panel:
    """What stands right of an image, as large as it needs to be; `font` is in pixels, and so are the sides."""

    lines: Sequence[Line]
    texts: Sequence[tuple[Font, str]]
    font: int
    width: int
    height: int

    @classmethod
    def of(cls, lines: Sequence[Line], image: Size, fonts: Fonts) -> "Panel":
        """As many lines as there is room for beside an image of this size."""
        font = font_size(image)
        shown = _fitting(lines, max(3, (image[1] - 2 * font) // _row(font)))
        texts = [fonts.of(_shortened(line.text), font) for line in shown]
        width = 2 * font + _indent(shown, font) + round(max(used.getlength(text) for used, text in texts))
        return cls(shown, texts, font, width, 2 * font + _row(font) * len(shown))

    def canvas(self, image: Size) -> Image.Image:
        """An empty image for that image and this panel."""
        return _empty(image, self.width, self.height)

    def paint(self, canvas: Image.Image, image: Size, colors: Mapping[str, Color]) -> None:
        """Onto such a canvas."""
        _paint_ground(canvas, image)
        pen, left, indent = ImageDraw.Draw(canvas), image[0] + self.font, _indent(self.lines, self.font)
        for number, (line, (font, text)) in enumerate(zip(self.lines, self.texts, strict=True)):
            middle = self.font + number * _row(self.font) + _row(self.font) // 2
            color = None if line.label is None else colors[line.label]
            if color:
                _swatch(pen, (left, middle - self.font // 2), self.font, color)
            pen.text((left + indent, middle), text, INK, font, anchor="lm")
            if line.share is not None:
                place = (left + indent, middle + round(self.font * 0.6), image[0] + self.width - self.font)
                _bar(pen, place, max(2, self.font // 8), line.share, color or PALE)


def with_color_bar(image: Image.Image, colors: Sequence[Color], ends: tuple[float, float], fonts: Fonts) -> Image.Image:
    """The image, and right of it its colours from the one of the largest value, at the top, to that of the least;
    `ends` are the least and the largest."""
    size = font_size(image.size)
    (font, least), (_, most) = (fonts.of(f"{end:.4g}", size) for end in ends)
    width = 2 * size + round(size * 1.6) + round(max(font.getlength(least), font.getlength(most)))
    canvas = _empty(image.size, width, 6 * size)
    canvas.paste(image)
    _paint_ground(canvas, image.size)
    bar = Image.new("RGB", (1, len(colors)))
    bar.putdata(list(reversed(colors)))
    high = canvas.height - 2 * size
    canvas.paste(bar.resize((size, high), Image.Resampling.NEAREST), (image.width + size, size))
    pen, left = ImageDraw.Draw(canvas), image.width + round(size * 2.6)
    pen.text((left, size), most, INK, font, anchor="lt")
    pen.text((left, size + high), least, INK, font, anchor="lb")
    return canvas


def _empty(image: Size, width: int, height: int) -> Image.Image:
    """Room for an image, and right of it for a panel of this width and of at least this height."""
    return Image.new("RGB", (image[0] + width, max(image[1], height)), None)


def _paint_ground(canvas: Image.Image, image: Size) -> None:
    """All but the image in the upper left corner."""
    canvas.paste(GROUND, (image[0], 0, *canvas.size))
    if canvas.height > image[1]:
        canvas.paste(GROUND, (0, image[1], image[0], canvas.height))


def font_size(image: Size) -> int:
    return max(SMALLEST_FONT, min(LARGEST_FONT, round(min(image) * FONT_SHARE)))


def _row(font: int) -> int:
    return round(font * 1.6)


def _indent(lines: Sequence[Line], font: int) -> int:
    """The room for colours before the texts."""
    return round(font * 1.3) if any(line.label is not None for line in lines) else 0


def _swatch(pen: ImageDraw.ImageDraw, corner: tuple[int, int], side: int, color: Color) -> None:
    left, top = corner
    pen.rounded_rectangle((left, top, left + side - 1, top + side - 1), side // 5, fill=color)


def _bar(pen: ImageDraw.ImageDraw, place: tuple[int, int, int], thick: int, share: float, color: Color) -> None:
    """`place` is left, top and right of the whole bar."""
    left, top, right = place
    pen.rectangle((left, top, right, top + thick - 1), fill=EMPTY)
    if share > 0:
        pen.rectangle((left, top, left + round((right - left) * min(1.0, share)), top + thick - 1), fill=color)


def _fitting(lines: Sequence[Line], room: int) -> Sequence[Line]:
    if len(lines) <= room:
        return lines
    return [*lines[:room - 1], Line(f"and {len(lines) - room + 1} more")]


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[:MOST_LETTERS - 3] + "..."
