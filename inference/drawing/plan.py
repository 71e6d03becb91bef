"""A drawing before there are pixels: what stands where, and how large it is."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from inference.drawing.fonts import TIMES, Fonts
from inference.drawing.lettering import Lettering, Words
from inference.drawing.panel import Line, Panel
from inference.drawing.shapes import box_of
from inference.drawing.style import Sizes, Style, enlargement, sizes_for
from inference.drawing.tags import Candidate, Tag, place
from inference.errors import BadParameter

Size = tuple[int, int]
OF_OBJECTS = ("object-detection", "keypoint-detection", "image-segmentation")


@dataclass(frozen=True)
class Plan:
    """`posted` is the image's size, `size` what it has in the drawing, and `result` counts in pixels of the latter."""

    posted: Size
    size: Size
    result: Mapping[str, Any]
    style: Style
    fonts: Fonts
    lettering: Lettering
    tags: Sequence[Tag]
    panel: Panel | None

    @property
    def found(self) -> Sequence[Mapping[str, Any]]:
        return self.result["predictions"]

    @property
    def labels(self) -> list[str]:
        return [one["label"] for one in (*self.found, *self.result.get("tiles", []))]

    def canvas(self) -> Image.Image | None:
        """An empty image for the whole drawing, to decode the posted one into its upper left corner; None where that
        one is resized, or nothing stands beside it."""
        return self.panel.canvas(self.size) if self.panel and self.posted == self.size else None

    def sizes(self, one: Mapping[str, Any]) -> Sizes:
        """Of what is drawn for an object."""
        return sizes_for(side_of(one), self.size)


def planned(posted: Size, result: Mapping[str, Any], style: Style, fonts: Fonts) -> Plan:
    """The drawing of a result that counts in pixels of the posted image."""
    size, lettering = drawn_size(posted, result, style), Lettering(fonts)
    scaled = result if size == posted else _scaled(result, size[0] / posted[0])
    tags = _tags(size, scaled, style, lettering)
    lines = [] if style.labels == "none" else _lines(scaled, tags)
    return Plan(posted, size, scaled, style, fonts, lettering, tags, Panel.of(lines, size, fonts) if lines else None)


def drawn_size(size: Size, result: Mapping[str, Any], style: Style, max_pixels: int | None = None) -> Size:
    """Of the image in the drawing, in pixels.

    Raises:
        BadParameter: by `scale` it would have more than `max_pixels`.
    """
    if "predictions" not in result:
        return size
    scale = style.scale or float(enlargement(size, [side_of(one) for one in result["predictions"] if "box" in one]))
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    if scale > 1 and max_pixels is not None and width * height > max_pixels:
        raise BadParameter(f"parameter 'scale': the drawing would have {width}x{height} pixels, more than an image may")
    return width, height


def side_of(one: Mapping[str, Any]) -> float:
    """The root of the area of an object's box."""
    left, top, right, bottom = box_of(one)
    return float(max(right - left, 0) * max(bottom - top, 0)) ** 0.5


def has_boxes(result: Mapping[str, Any]) -> bool:
    """Whether objects are drawn, and not classes of pixels."""
    return result["task"] in OF_OBJECTS and (
        result["task"] != "image-segmentation" or any("box" in one for one in result["predictions"]))


def _scaled(result: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """The result with all coordinates times `scale`."""
    def times(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: times(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [times(part, key) for part in value]
        return value * scale if key in ("x", "y", "xmin", "ymin", "xmax", "ymax") else value
    return times(result)


# Tags of objects, and what is told beside the image


def _tags(size: Size, result: Mapping[str, Any], style: Style, lettering: Lettering) -> list[Tag]:
    if style.labels == "none" or not has_boxes(result):
        return []
    candidates = [_candidate(one, style, sizes_for(side_of(one), size).font) for one in result["predictions"]]
    return place(candidates, size, _measure(lettering), always=style.labels != "auto")


def _candidate(one: Mapping[str, Any], style: Style, font: int) -> Candidate:
    """What an object's tag may say: label and score, the score alone where the whole is too much."""
    score = () if one.get("score") is None else (f"{one['score']:.0%}",)
    whole = (one["label"], *(f" {text}" for text in score))
    texts = {"score": (score,), "full": (whole,)}.get(style.labels, (whole, score))
    return Candidate(box_of(one), [words for words in texts if words], font)


def _measure(lettering: Lettering) -> Callable[[Words, int], Size]:
    def measure(words: Words, size: int) -> Size:
        pad = Sizes(0, size).pad
        return lettering.width(words, size) + 2 * pad, round(size * 1.1) + pad
    return measure


def _lines(result: Mapping[str, Any], tags: Sequence[Tag]) -> list[Line]:
    """Of objects a legend with counts, where not all are told by tags; of an image or of pixels all classes."""
    found = result.get("predictions", [])
    if has_boxes(result):
        told = sum(tag.words[0] == found[tag.number]["label"] for tag in tags)
        counts = Counter(one["label"] for one in found) if told < len(found) else Counter[str]()
        return [Line(f"{label} {TIMES} {count}", label) for label, count in counts.most_common()]
    if result["task"] == "image-segmentation":
        return [Line(_text(one), one["label"]) for one in found]
    shown = {tile["label"] for tile in result.get("tiles", [])}
    return [Line(_text(one), one["label"] if one["label"] in shown else None, one.get("score")) for one in found]


def _text(found: Mapping[str, Any]) -> str:
    return found["label"] if found.get("score") is None else f"{found['label']} {found['score']:.0%}"
