"""What is written beside an image: predictions, a legend with counts, or the colour bar of depths."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from inference.drawing.colors import Color
from inference.drawing.fonts import Fonts

GROUND, INK, PALE = (24, 25, 28), (245, 245, 245), (150, 152, 158)
SMALLEST_FONT, LARGEST_FONT, FONT_SHARE = 13, 120, 0.024  # pixels; of the image's shorter side
MOST_LETTERS = 40


@dataclass(frozen=True)
class Line:
    """`color` is what the text stands for; `share` (0..1), if there is one, is drawn as a bar."""

    text: str
    color: Color | None = None
    share: float | None = None


def beside(image: Image.Image, lines: Sequence[Line], fonts: Fonts) -> Image.Image:
    """The image, and right of it a panel with as many lines as there is room for."""
    if not lines:
        return image
    size = font_size(image.size)
    row, gap = round(size * 1.6), size
    shown = _fitting(lines, max(3, (image.height - 2 * gap) // row))
    texts = [fonts.of(_shortened(line.text), size) for line in shown]
    indent = round(size * 1.3) if any(line.color for line in shown) else 0
    width = 2 * gap + indent + round(max(font.getlength(text) for font, text in texts))
    canvas = _with_panel(image, width, 2 * gap + row * len(shown))
    pen, left = ImageDraw.Draw(canvas), image.width + gap
    for number, (line, (font, text)) in enumerate(zip(shown, texts, strict=True)):
        middle = gap + number * row + row // 2
        if line.color:
            pen.rounded_rectangle((left, middle - size // 2, left + size - 1, middle + size // 2 - 1), size // 5,
                                  fill=line.color)
        pen.text((left + indent, middle), text, INK, font, anchor="lm")
        if line.share is not None:
            _bar(pen, (left + indent, middle + round(size * 0.6)), image.width + width - gap, line, size)
    return canvas


def with_color_bar(image: Image.Image, colors: Sequence[Color], ends: tuple[float, float], fonts: Fonts) -> Image.Image:
    """The image, and right of it its colours from the one of the largest value, at the top, to that of the least;
    `ends` are the least and the largest."""
    size = font_size(image.size)
    (font, least), (_, most) = (fonts.of(f"{end:.4g}", size) for end in ends)
    width = 2 * size + round(size * 1.6) + round(max(font.getlength(least), font.getlength(most)))
    canvas = _with_panel(image, width, 6 * size)
    bar = Image.new("RGB", (1, len(colors)))
    bar.putdata(list(reversed(colors)))
    high = canvas.height - 2 * size
    canvas.paste(bar.resize((size, high), Image.Resampling.NEAREST), (image.width + size, size))
    pen, left = ImageDraw.Draw(canvas), image.width + round(size * 2.6)
    pen.text((left, size), most, INK, font, anchor="lt")
    pen.text((left, size + high), least, INK, font, anchor="lb")
    return canvas


def _with_panel(image: Image.Image, width: int, height: int) -> Image.Image:
    """The image, and right of it a panel; as high as the image, and at least `height`."""
    canvas = Image.new("RGB", (image.width + width, max(image.height, height)), None)
    canvas.paste(image)
    canvas.paste(GROUND, (image.width, 0, *canvas.size))
    if height > image.height:
        canvas.paste(GROUND, (0, image.height, image.width, height))
    return canvas


def font_size(image: tuple[int, int]) -> int:
    return max(SMALLEST_FONT, min(LARGEST_FONT, round(min(image) * FONT_SHARE)))


def _bar(pen: ImageDraw.ImageDraw, corner: tuple[int, int], right: int, line: Line, size: int) -> None:
    thick, left, top = max(2, size // 8), corner[0], corner[1]
    assert line.share is not None
    pen.rectangle((left, top, right, top + thick - 1), fill=(60, 62, 68))
    if line.share > 0:
        end = left + round((right - left) * min(1.0, line.share))
        pen.rectangle((left, top, end, top + thick - 1), fill=line.color or PALE)


def _fitting(lines: Sequence[Line], room: int) -> Sequence[Line]:
    if len(lines) <= room:
        return lines
    return [*lines[:room - 1], Line(f"and {len(lines) - room + 1} more")]


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[:MOST_LETTERS - 3] + "..."
