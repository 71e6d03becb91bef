"""One painter per task: boxes, masks, keypoints, tiles, with what is written beside the image; or the produced one."""

import base64
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from inference.bounded_reads import nothing
from inference.depth_maps import colored, palette
from inference.drawing.colors import Color, colors_of, readable_on
from inference.drawing.fonts import TIMES, Fonts
from inference.drawing.lettering import Lettering, Words
from inference.drawing.panel import Line, beside, with_color_bar
from inference.drawing.shapes import box_of, outline, paint_mask, paint_tiles, skeleton
from inference.drawing.style import Sizes, Style, enlargement, sizes_for
from inference.drawing.tags import Candidate, Tag, place
from inference.errors import BadParameter, NotDrawable
from inference.masks import decode_mask

Check = Callable[[], None]


@dataclass(frozen=True)
class Canvas:
    """What a painter needs: the image, in the drawing's size, that it draws on, and the result in its pixels."""

    image: Image.Image
    result: Mapping[str, Any]
    style: Style
    fonts: Fonts = field(default_factory=Fonts)
    check: Check = nothing

    @property
    def found(self) -> Sequence[Mapping[str, Any]]:
        return self.result["predictions"]

    def colors(self) -> dict[str, Color]:
        return colors_of([one["label"] for one in (*self.found, *self.result.get("tiles", []))], self.image)


def draw(image: Image.Image, result: Mapping[str, Any], style: Style | None = None, fonts: Fonts | None = None,
         check: Check = nothing) -> Image.Image:
    """The result on its image.

    Args:
        image: RGB, upright and in full size: the result counts in its pixels.
        result: of a task, as the contract tells it.
        check: is called between two things that are drawn, and may end the drawing by raising an InferenceError.

    Raises:
        NotDrawable: the task's result has nothing to draw. What `check` raises.
    """
    check_drawable(result["task"])
    try:
        return _PAINTERS[result["task"]](_canvas(image, result, style or Style(), fonts or Fonts(), check))
    except (KeyError, TypeError) as error:  # hooks.py decides what is in a result
        raise NotDrawable(f"the result lacks what a drawing of it needs: {error}; ask for application/json") from error


def check_drawable(task: str) -> None:
    """Raises NotDrawable for a task whose results cannot be drawn."""
    if task not in _PAINTERS:
        raise NotDrawable(f"{task} has nothing to draw: ask for application/json")


def drawn_size(size: tuple[int, int], result: Mapping[str, Any], style: Style,
               max_pixels: int | None = None) -> tuple[int, int]:
    """Of the image in the drawing, in pixels.

    Raises:
        BadParameter: by `scale` it would have more than `max_pixels`.
    """
    if "predictions" not in result:
        return size
    scale = style.scale or float(enlargement(size, [_side(one) for one in result["predictions"] if "box" in one]))
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    if scale > 1 and max_pixels is not None and width * height > max_pixels:
        raise BadParameter(f"parameter 'scale': the drawing would have {width}x{height} pixels, more than an image may")
    return width, height


def _canvas(image: Image.Image, result: Mapping[str, Any], style: Style, fonts: Fonts, check: Check) -> Canvas:
    size = drawn_size(image.size, result, style)
    if size == image.size:
        return Canvas(image, result, style, fonts, check)
    return Canvas(image.resize(size, Image.Resampling.BICUBIC), _scaled(result, size[0] / image.width), style, fonts,
                  check)


def _scaled(result: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """The result with all coordinates times `scale`."""
    def times(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: times(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [times(part, key) for part in value]
        return value * scale if key in ("x", "y", "xmin", "ymin", "xmax", "ymax") else value
    return times(result)


# One painter per task


def _draw_labels(canvas: Canvas) -> Image.Image:
    tiles, colors = canvas.result.get("tiles", []), canvas.colors()
    if tiles:
        paint_tiles(canvas.image, tiles, colors)
    if canvas.style.labels == "none":
        return canvas.image
    shown = {tile["label"] for tile in tiles}
    lines = [Line(_text(one), colors[one["label"]] if one["label"] in shown else None, one.get("score"))
             for one in canvas.found]
    return beside(canvas.image, lines, canvas.fonts)


def _draw_boxes(canvas: Canvas) -> Image.Image:
    colors = canvas.colors()
    for one in reversed(canvas.found):  # the best come first and are drawn last, on top
        canvas.check()
        outline(canvas.image, one, colors[one["label"]], _sizes(canvas, one).line)
    return _with_labels(canvas, colors)


def _draw_keypoints(canvas: Canvas) -> Image.Image:
    """Boxes, in each its limbs and keypoints; those of people as COCO counts them are joined."""
    colors = canvas.colors()
    for one in reversed(canvas.found):
        canvas.check()
        skeleton(canvas.image, one["keypoints"], colors[one["label"]], _sizes(canvas, one).line)
    return _draw_boxes(canvas)


def _draw_segments(canvas: Canvas) -> Image.Image:
    """Masks, the largest first so that small ones stay in sight; with boxes for instances, else with a legend."""
    colors, line = canvas.colors(), sizes_for(min(canvas.image.size), canvas.image.size).line
    for one in canvas.found:
        canvas.check()
        mask = Image.fromarray(decode_mask(one["mask"])).resize(canvas.image.size, Image.Resampling.NEAREST)
        width = _sizes(canvas, one).line if "box" in one else line
        paint_mask(canvas.image, np.asarray(mask), colors[one["label"]], width)
    if any("box" in one for one in canvas.found):
        return _draw_boxes(canvas)
    if canvas.style.labels == "none":
        return canvas.image
    return beside(canvas.image, [Line(_text(one), colors[one["label"]]) for one in canvas.found], canvas.fonts)


def _draw_depth(canvas: Canvas) -> Image.Image:
    depths, ends = colored(canvas.result["depth"]), (canvas.result["minimum"], canvas.result["maximum"])
    return depths if canvas.style.labels == "none" else with_color_bar(depths, palette(), ends, canvas.fonts)


def _produced(canvas: Canvas) -> Image.Image:
    data = base64.b64decode(canvas.result["image"].partition(",")[2])
    with Image.open(io.BytesIO(data), formats=("PNG",)) as produced:
        return produced.convert("RGB")


_PAINTERS: dict[str, Callable[[Canvas], Image.Image]] = {
    "image-classification": _draw_labels, "object-detection": _draw_boxes, "keypoint-detection": _draw_keypoints,
    "image-segmentation": _draw_segments, "depth-estimation": _draw_depth, "image-to-image": _produced}


# Tags of objects, and the legend of what they leave out


def _with_labels(canvas: Canvas, colors: Mapping[str, Color]) -> Image.Image:
    labels = canvas.style.labels
    if labels == "none":
        return canvas.image
    lettering = Lettering(canvas.fonts)
    tags = place([_candidate(canvas, one) for one in canvas.found], canvas.image.size, _measure(lettering),
                 always=labels != "auto")
    for tag in reversed(tags):
        canvas.check()
        _write(canvas, lettering, tag, colors[canvas.found[tag.number]["label"]])
    told = sum(tag.words[0] == canvas.found[tag.number]["label"] for tag in tags)
    return canvas.image if told == len(canvas.found) else beside(canvas.image, _counts(canvas, colors), canvas.fonts)


def _counts(canvas: Canvas, colors: Mapping[str, Color]) -> list[Line]:
    counts = Counter(one["label"] for one in canvas.found)
    return [Line(f"{label} {TIMES} {count}", colors[label]) for label, count in counts.most_common()]


def _candidate(canvas: Canvas, one: Mapping[str, Any]) -> Candidate:
    """What an object's tag may say: label and score, the score alone where the whole is too much."""
    score = () if one.get("score") is None else (f"{one['score']:.0%}",)
    whole = (one["label"], *(f" {text}" for text in score))
    texts = {"score": (score,), "full": (whole,)}.get(canvas.style.labels, (whole, score))
    return Candidate(box_of(one), [words for words in texts if words], _sizes(canvas, one).font)


def _measure(lettering: Lettering) -> Callable[[Words, int], tuple[int, int]]:
    def measure(words: Words, size: int) -> tuple[int, int]:
        pad = Sizes(0, size).pad
        return lettering.width(words, size) + 2 * pad, round(size * 1.1) + pad
    return measure


def _write(canvas: Canvas, lettering: Lettering, tag: Tag, color: Color) -> None:
    """A text on its object's colour."""
    canvas.image.paste(color, (tag.left, tag.top, tag.left + tag.width, tag.top + tag.height))
    size = _sizes(canvas, canvas.found[tag.number]).font
    lettering.write(canvas.image, tag.left + Sizes(0, size).pad, tag.top + tag.height // 2, tag.words, size,
                    readable_on(color))


def _sizes(canvas: Canvas, one: Mapping[str, Any]) -> Sizes:
    return sizes_for(_side(one), canvas.image.size)


def _side(one: Mapping[str, Any]) -> float:
    """The root of the area of an object's box."""
    left, top, right, bottom = box_of(one)
    return float(max(right - left, 0) * max(bottom - top, 0)) ** 0.5


def _text(found: Mapping[str, Any]) -> str:
    return found["label"] if found.get("score") is None else f"{found['label']} {found['score']:.0%}"
