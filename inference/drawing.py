"""A result drawn on its image: boxes, masks, labels, tiles; or the produced image itself."""

import base64
import io
import zlib
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inference.bounded_reads import nothing
from inference.depth_maps import colored
from inference.errors import NotDrawable
from inference.masks import decode_mask
from inference.skeleton import COCO_KEYPOINTS, COCO_LIMBS

Check = Callable[[], None]
Color = tuple[int, int, int]
Line = tuple[str, Color | None]  # a text and the colour it stands for
# Sasha Trubetskoy's list of distinct colours (https://sashamaps.net/docs/resources/20-colors/) without greys and the
# dark ones, which are lost on soil and shade.
PALETTE: tuple[Color, ...] = (
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (67, 99, 216), (245, 130, 49), (145, 30, 180), (66, 212, 244),
    (240, 50, 230), (191, 239, 69), (250, 190, 212), (70, 153, 144), (220, 190, 255), (154, 99, 36), (170, 255, 195),
    (255, 216, 177))
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
# Shares of the image's shorter side
FONT_SHARE, LINE_SHARE = 0.024, 0.004
SMALLEST_FONT, THINNEST_LINE = 11, 2  # pixels
MASK_OPACITY, PANEL_OPACITY = 0.4, 0.65
TILE_OPACITY = (0.1, 0.55)  # of a tile with score 0 and 1
SEEN = 0.5  # score from which a keypoint is drawn


def draw(image: Image.Image, result: dict, check: Check = nothing) -> Image.Image:
    """The result on its image, which is drawn on.

    Args:
        image: RGB, upright and in full size: the result counts in its pixels.
        result: of a task, as the contract tells it.
        check: is called between two things that are drawn, and may end the drawing by raising an InferenceError.

    Raises:
        NotDrawable: the task's result has nothing to draw. What `check` raises.
    """
    check_drawable(result["task"])
    try:
        return _PAINTERS[result["task"]](image, result, check)
    except (KeyError, TypeError) as error:  # hooks.py decides what is in a result
        raise NotDrawable(f"the result lacks what a drawing of it needs: {error}; ask for application/json") from error


def check_drawable(task: str) -> None:
    """Raises NotDrawable for a task whose results cannot be drawn."""
    if task not in _PAINTERS:
        raise NotDrawable(f"{task} has nothing to draw: ask for application/json")


def colors_of(labels: Iterable[str]) -> dict[str, Color]:
    """A colour per label: the same in every image, unless two labels of one image would share it."""
    taken: dict[str, int] = {}
    for label in sorted(set(labels)):
        wanted = zlib.crc32(label.encode()) % len(PALETTE)
        turns = ((wanted + step) % len(PALETTE) for step in range(len(PALETTE)))
        taken[label] = next((turn for turn in turns if turn not in taken.values()), wanted)
    return {label: PALETTE[turn] for label, turn in taken.items()}


# One painter per task


def _draw_labels(image: Image.Image, result: dict, check: Check) -> Image.Image:
    tiles = result.get("tiles", [])
    colors = colors_of(tile["label"] for tile in tiles)
    if tiles:
        _paint_tiles(image, tiles, colors)
    _panel(image, [(_text(found), colors.get(found["label"])) for found in result["predictions"]])
    return image


def _draw_boxes(image: Image.Image, result: dict, check: Check) -> Image.Image:
    colors = colors_of(found["label"] for found in result["predictions"])
    for found in reversed(result["predictions"]):  # the best come first and are drawn last, on top
        check()
        _box(image, found, colors[found["label"]])
    return image


def _draw_keypoints(image: Image.Image, result: dict, check: Check) -> Image.Image:
    """Boxes, in each its limbs and keypoints; those of people as COCO counts them are joined."""
    colors = colors_of(found["label"] for found in result["predictions"])
    for found in reversed(result["predictions"]):
        check()
        _skeleton(image, found["keypoints"], colors[found["label"]])
    return _draw_boxes(image, result, check)


def _draw_segments(image: Image.Image, result: dict, check: Check) -> Image.Image:
    """Masks, the largest first so that small ones stay in sight; with boxes for instances, else with a legend."""
    predictions = result["predictions"]
    colors = colors_of(found["label"] for found in predictions)
    for found in predictions:
        check()
        _paint_mask(image, decode_mask(found["mask"]), colors[found["label"]])
    if any("box" in found for found in predictions):
        return _draw_boxes(image, result, check)
    _panel(image, [(_text(found), colors[found["label"]]) for found in predictions])
    return image


def _produced(image: Image.Image, result: dict, check: Check) -> Image.Image:
    data = base64.b64decode(result["image"].partition(",")[2])
    with Image.open(io.BytesIO(data), formats=("PNG",)) as produced:
        return produced.convert("RGB")


_PAINTERS: dict[str, Callable[[Image.Image, dict, Check], Image.Image]] = {
    "image-classification": _draw_labels, "object-detection": _draw_boxes, "keypoint-detection": _draw_keypoints,
    "image-segmentation": _draw_segments, "depth-estimation": lambda image, result, check: colored(result["depth"]),
    "image-to-image": _produced}


# What they draw with


def _text(found: dict) -> str:
    return found["label"] if found.get("score") is None else f"{found['label']} {found['score']:.0%}"


def _font(image: Image.Image) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(SMALLEST_FONT, round(min(image.size) * FONT_SHARE)))


def _line_width(image: Image.Image) -> int:
    return max(THINNEST_LINE, round(min(image.size) * LINE_SHARE))


def readable_on(color: Color) -> Color:
    """Black or white, whichever contrasts more: WCAG 2.2's relative luminance; at 0.179 both contrast alike."""
    red, green, blue = (part / 3294.6 if part <= 10 else ((part + 14.025) / 269.025) ** 2.4 for part in color)
    return BLACK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else WHITE


def _box(image: Image.Image, found: dict, color: Color) -> None:
    left, top, right, bottom = (found["box"][key] for key in ("xmin", "ymin", "xmax", "ymax"))
    pen, width = ImageDraw.Draw(image), _line_width(image)
    if "polygon" in found:
        corners = [(corner["x"], corner["y"]) for corner in found["polygon"]]
        pen.line([*corners, *corners[:2]], fill=color, width=width, joint="curve")
    else:
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=color, width=width)
    _tag(image, _text(found), (left, top), color)


def _skeleton(image: Image.Image, keypoints: list[dict], color: Color) -> None:
    """Dots, and lines between those that belong together; a keypoint that the model does not see is left out."""
    pen, width = ImageDraw.Draw(image), _line_width(image)
    seen = {number: (point["x"], point["y"]) for number, point in enumerate(keypoints)
            if point["score"] is None or point["score"] >= SEEN}
    limbs = COCO_LIMBS if len(keypoints) == len(COCO_KEYPOINTS) else ()
    for start, end in limbs:
        if start in seen and end in seen:
            pen.line((seen[start], seen[end]), fill=color, width=width)
    for x, y in seen.values():
        pen.ellipse((x - width, y - width, x + width, y + width), fill=color, outline=readable_on(color))


def _tag(image: Image.Image, text: str, corner: tuple[float, float], color: Color) -> None:
    """A text on its colour above a box's corner, or within the box where the image ends."""
    pen, font = ImageDraw.Draw(image), _font(image)
    pad, (_, _, right, bottom) = 2 * _line_width(image), pen.textbbox((0, 0), text, font, anchor="la")
    width, height = round(right) + 2 * pad, round(bottom) + pad
    left = max(0, min(round(corner[0]), image.width - width))
    top = round(corner[1]) - height if corner[1] >= height else round(corner[1])
    pen.rectangle((left, top, left + width - 1, top + height - 1), fill=color)
    pen.text((left + pad, top + pad // 2), text, readable_on(color), font, anchor="la")


def _paint_mask(image: Image.Image, mask: NDArray[np.bool_], color: Color) -> None:
    """The mask in translucent colour, its rim opaque."""
    opacity = np.where(mask, np.uint8(MASK_OPACITY * 255), np.uint8(0))
    opacity[_rim(mask, _line_width(image))] = 255
    image.paste(color, mask=Image.fromarray(opacity))


def _rim(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The pixels of a mask within `width` of one outside, along its rows and columns; the image's edge is no rim."""
    inner = mask.copy()
    inner[width:] &= mask[:-width]
    inner[:-width] &= mask[width:]
    inner[:, width:] &= mask[:, :-width]
    inner[:, :-width] &= mask[:, width:]
    return mask & ~inner


def _paint_tiles(image: Image.Image, tiles: list[dict], colors: dict[str, Color]) -> None:
    """Each tile in its label's colour, the more opaque the higher its score; later tiles hide what they overlap."""
    paint, opacity = Image.new("RGB", image.size), Image.new("L", image.size)
    for tile in tiles:
        box = tuple(tile["box"][key] for key in ("xmin", "ymin", "xmax", "ymax"))
        low, high = TILE_OPACITY
        paint.paste(colors[tile["label"]], box)
        opacity.paste(round(255 * (low + (high - low) * tile["score"])), box)
    image.paste(paint, mask=opacity)


def _panel(image: Image.Image, lines: list[Line]) -> None:
    """Lines on a dark pane in the upper left corner, each with a square of its colour; as many as there is room for."""
    pen, font, gap = ImageDraw.Draw(image), _font(image), 2 * _line_width(image)
    ascent, descent = font.getmetrics() if isinstance(font, ImageFont.FreeTypeFont) else (SMALLEST_FONT, 0)
    height = round((ascent + descent) * 1.15)
    shown = _fitting(lines, max(1, (image.height - 4 * gap) // height))
    if not shown:
        return
    indent = ascent + gap if any(color for _, color in shown) else 0
    width = indent + round(max(pen.textlength(text, font) for text, _ in shown))
    _darken(image, (gap, gap, 3 * gap + width, 3 * gap + height * len(shown)), gap)
    for row, (text, color) in enumerate(shown):
        top = 2 * gap + row * height
        if color:
            pen.rectangle((2 * gap, top + descent, 2 * gap + ascent - descent, top + ascent), fill=color)
        pen.text((2 * gap + indent, top), text, WHITE, font, anchor="la")


def _fitting(lines: list[Line], room: int) -> list[Line]:
    if len(lines) <= room:
        return lines
    return [*lines[:room - 1], (f"and {len(lines) - room + 1} more", None)]


def _darken(image: Image.Image, box: tuple[int, int, int, int], radius: int) -> None:
    pane = Image.new("L", image.size)
    ImageDraw.Draw(pane).rounded_rectangle(box, radius, fill=round(255 * PANEL_OPACITY))
    image.paste(BLACK, mask=pane)
