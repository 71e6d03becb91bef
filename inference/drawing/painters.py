"""One painter per task: boxes, masks, keypoints, tiles, with what is written beside the image; or the produced one."""

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from PIL import Image

from inference.bounded_reads import nothing
from inference.depth_maps import colored, palette
from inference.drawing.brush import Brush
from inference.drawing.colors import Color, colors_of, readable_on
from inference.drawing.fonts import Fonts
from inference.drawing.panel import with_color_bar
from inference.drawing.plan import Plan, Size, has_boxes, planned
from inference.drawing.shapes import outline, paint_mask, paint_tiles, skeleton
from inference.drawing.style import Sizes, Style, sizes_for
from inference.drawing.tags import Tag
from inference.errors import NotDrawable
from inference.masks import mask_image

Check = Callable[[], None]


@dataclass(frozen=True)
class Canvas:
    """What a painter needs. The image may be wider than the plan's size: right of that comes the panel."""

    plan: Plan
    image: Image.Image
    colors: Mapping[str, Color]
    check: Check


def draw(image: Image.Image, result: Mapping[str, Any], style: Style | None = None, fonts: Fonts | None = None,
         check: Check = nothing) -> Image.Image:
    """The result on its image, as `plan_of` and `paint` draw it."""
    return paint(plan_of(image.size, result, style, fonts), image, check)


def plan_of(size: Size, result: Mapping[str, Any], style: Style | None = None, fonts: Fonts | None = None) -> Plan:
    """What is to be drawn.

    Args:
        size: of the image, upright and in full size: the result counts in its pixels.
        result: of a task, as the contract tells it.

    Raises:
        NotDrawable: the task's result has nothing to draw.
    """
    check_drawable(result["task"])
    with _told():
        return planned(size, result, style or Style(), fonts or Fonts())


def paint(plan: Plan, image: Image.Image, check: Check = nothing) -> Image.Image:
    """The drawing.

    Args:
        image: RGB, of the size that was planned for; or the plan's canvas, with such an image in its corner.
        check: is called between two things that are drawn, and may end the drawing by raising an InferenceError.

    Raises:
        NotDrawable: the result lacks what is to be drawn. What `check` raises.
    """
    with _told():
        if plan.result["task"] in _INSTEAD:
            return _INSTEAD[plan.result["task"]](plan)
        ground = _ground(plan, image)
        canvas = Canvas(plan, ground, colors_of(plan.labels, ground, plan.size), check)
        _PAINTERS[plan.result["task"]](canvas)
        return _told_beside(canvas)


def check_drawable(task: str) -> None:
    """Raises NotDrawable for a task whose results cannot be drawn."""
    if task not in _PAINTERS and task not in _INSTEAD:
        raise NotDrawable(f"{task} has nothing to draw: ask for application/json")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError) as error:  # hooks.py decides what is in a result
        raise NotDrawable(f"the result lacks what a drawing of it needs: {error}; ask for application/json") from error


def _ground(plan: Plan, image: Image.Image) -> Image.Image:
    """The image in the drawing's size, with room for what stands beside it."""
    if image.size != plan.posted:
        return image  # the plan's canvas
    if plan.size != plan.posted:
        image = image.resize(plan.size, Image.Resampling.BICUBIC)
    if plan.panel is None:
        return image
    ground = plan.panel.canvas(plan.size)
    ground.paste(image)
    return ground


# One painter per task


def _draw_labels(canvas: Canvas) -> None:
    if tiles := canvas.plan.result.get("tiles", []):
        paint_tiles(canvas.image, canvas.plan.size, tiles, canvas.colors)


def _draw_boxes(canvas: Canvas) -> None:
    brush = Brush(canvas.image)
    for one in reversed(canvas.plan.found):  # the best come first and are drawn last, on top
        canvas.check()
        outline(brush, one, canvas.colors[one["label"]], canvas.plan.sizes(one).line)
    for tag in reversed(canvas.plan.tags):
        canvas.check()
        _write(canvas, tag)


def _draw_keypoints(canvas: Canvas) -> None:
    """Boxes, in each its limbs and keypoints; those of people as COCO counts them are joined."""
    brush = Brush(canvas.image)
    for one in reversed(canvas.plan.found):
        canvas.check()
        skeleton(brush, one["keypoints"], canvas.colors[one["label"]], canvas.plan.sizes(one).line)
    _draw_boxes(canvas)


def _draw_segments(canvas: Canvas) -> None:
    """Masks, the largest first so that small ones stay in sight; with boxes for instances."""
    plan = canvas.plan
    line = sizes_for(min(plan.size), plan.size).line
    for one in plan.found:
        canvas.check()
        mask = mask_image(one["mask"])
        if mask.size != plan.size:
            mask = mask.resize(plan.size, Image.Resampling.NEAREST)
        width = plan.sizes(one).line if "box" in one else line
        paint_mask(canvas.image, mask, canvas.colors[one["label"]], width)
    if has_boxes(plan.result):
        _draw_boxes(canvas)


_PAINTERS: dict[str, Callable[[Canvas], None]] = {
    "image-classification": _draw_labels, "object-detection": _draw_boxes, "keypoint-detection": _draw_keypoints,
    "image-segmentation": _draw_segments}


def _write(canvas: Canvas, tag: Tag) -> None:
    """A text on its object's colour."""
    found = canvas.plan.found[tag.number]
    color, size = canvas.colors[found["label"]], canvas.plan.sizes(found).font
    canvas.image.paste(color, (tag.left, tag.top, tag.left + tag.width, tag.top + tag.height))
    canvas.plan.lettering.write(canvas.image, tag.left + Sizes(0, size).pad, tag.top + tag.height // 2, tag.words, size,
                                readable_on(color))


def _told_beside(canvas: Canvas) -> Image.Image:
    if canvas.plan.panel is not None:
        canvas.plan.panel.paint(canvas.image, canvas.plan.size, canvas.colors)
    return canvas.image


# Results that are images themselves


def _depth(plan: Plan) -> Image.Image:
    depths, ends = colored(plan.result["depth"]), (plan.result["minimum"], plan.result["maximum"])
    return depths if plan.style.labels == "none" else with_color_bar(depths, palette(), ends, plan.fonts)


def _produced(plan: Plan) -> Image.Image:
    data = base64.b64decode(plan.result["image"].partition(",")[2])
    with Image.open(io.BytesIO(data), formats=("PNG",)) as produced:
        return produced.convert("RGB")


_INSTEAD: dict[str, Callable[[Plan], Image.Image]] = {"depth-estimation": _depth, "image-to-image": _produced}
