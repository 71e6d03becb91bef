"""Horizontal bar charts as SVG, readable on a light page and on a dark one. Pure."""

from collections.abc import Iterator
from xml.sax.saxutils import escape

from bench.page import Chart, quantity

WIDTH, LABELS, VALUES = 860, 220, 80  # pixels: of all, of the names to the left, kept free for values to the right
BAR, GAP, GROUP_GAP = 16, 3, 14
TOP, BOTTOM = 64, 44
FONT = 13
TICKS = 5
# One grey and mid-tone colours that stand out from white and from near-black alike.
GREY, RULE = "#7a7f87", "#7a7f8755"
COLORS = ("#3f8fd2", "#e07b39", "#4fa64f")


def draw(chart: Chart) -> str:
    """The file's text."""
    height = TOP + len(chart.rows) * _group_height(chart) + BOTTOM
    parts = [*_legend(chart), *_axis(chart, height - BOTTOM), *_bars(chart)]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" font-family="sans-serif" font-size="{FONT}" fill="{GREY}" role="img">\n'
            f"<title>{escape(chart.title)}</title>\n" + "\n".join(parts) + "\n</svg>\n")


def axis_steps(largest: float) -> list[float]:
    """Round numbers from 0 to at least `largest`, about TICKS of them."""
    if largest <= 0:
        return [0.0, 1.0]
    magnitude = 1.0
    while magnitude * 10 <= largest / TICKS:
        magnitude *= 10
    while magnitude > largest / TICKS:
        magnitude /= 10
    step = next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor * TICKS >= largest)
    count = next(number for number in range(1, TICKS + 1) if step * number >= largest)
    return [step * number for number in range(count + 1)]


def _group_height(chart: Chart) -> int:
    return len(chart.series) * (BAR + GAP) + GROUP_GAP


def _x(chart: Chart, value: float) -> float:
    end = axis_steps(max(max(row) for row in chart.values))[-1]
    return LABELS + value / end * (WIDTH - LABELS - VALUES)


def _legend(chart: Chart) -> Iterator[str]:
    yield _text(10, 20, chart.title, "start", "bold")
    left = LABELS
    for name, color in zip(chart.series, COLORS, strict=False):
        yield f'<rect x="{left}" y="33" width="12" height="12" fill="{color}"/>'
        yield _text(left + 18, 44, name, "start")
        left += 40 + 8 * len(name)


def _axis(chart: Chart, bottom: int) -> Iterator[str]:
    for step in axis_steps(max(max(row) for row in chart.values)):
        x = _x(chart, step)
        yield f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{RULE}"/>'
        yield _text(x, bottom + 17, f"{step:g}", "middle")
    yield _text((LABELS + WIDTH - VALUES) / 2, bottom + 36, chart.unit, "middle")


def _bars(chart: Chart) -> Iterator[str]:
    for number, (name, values) in enumerate(zip(chart.rows, chart.values, strict=True)):
        top = TOP + number * _group_height(chart)
        middle = top + (_group_height(chart) - GROUP_GAP) / 2 + FONT / 3
        yield _text(LABELS - 10, middle, name, "end", "bold" if number == 0 else "normal")
        for row, (value, color) in enumerate(zip(values, COLORS, strict=False)):
            yield from _bar(chart, top + row * (BAR + GAP), value, color)


def _bar(chart: Chart, top: float, value: float, color: str) -> Iterator[str]:
    width = max(_x(chart, value) - LABELS, 1)
    yield f'<rect x="{LABELS}" y="{top}" width="{width:.1f}" height="{BAR}" fill="{color}"/>'
    yield _text(LABELS + width + 6, top + BAR - 3, quantity(value, chart.unit), "start")


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
