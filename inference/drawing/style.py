"""How a drawing is to look: what a caller may ask for, and the sizes that follow from what is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any, Literal

from pydantic import Field, ValidationError

from inference.errors import BadParameter
from inference.parameters import Asked

Labels = Literal["auto", "none", "score", "full"]
SMALLEST_FONT, THINNEST_LINE = 11, 2  # pixels
OBJECT_FONT, OBJECT_LINE = 1 / 7, 1 / 40  # shares of an object's side
# Shares of the image's shorter side: text and lines grow no larger; and no smaller than can be read and seen where
# the whole image is looked at on a screen.
LARGEST_FONT, THICKEST_LINE = 0.028, 0.004
READABLE_FONT, VISIBLE_LINE = 0.011, 0.0008
FONT_STEP = 1.25  # from one size of texts to the next
SHORT_IMAGE, SHORT_OBJECT, LONGEST_ENLARGED = 640, 40, 1600  # pixels
MOST_ENLARGED = 10


class Style(Asked):
    """A caller may ask for tags without texts, with scores, or with everything; `auto` leaves out what would cover more
    than it explains. `scale` is the drawing's size over the image's; None enlarges small images."""

    labels: Labels = "auto"
    scale: float | None = Field(None, ge=0.1, le=10)


STYLE_FIELDS = tuple(Style.model_fields)


def style_of(values: Mapping[str, Any]) -> Style:
    """Raises BadParameter: a value is none that a style has."""
    try:
        return Style.model_validate({name: values[name] for name in STYLE_FIELDS if name in values})
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        wanted = {"labels": "none, score or full", "scale": "a number from 0.1 to 10"}[str(name)]
        raise BadParameter(f"parameter '{name}': {wanted} is expected") from error


@dataclass(frozen=True)
class Sizes:
    """Of what is drawn for one object, in pixels."""

    line: int
    font: int

    @property
    def pad(self) -> int:
        return max(2, self.font // 5)


def sizes_for(side: float, image: tuple[int, int]) -> Sizes:
    """For an object whose box has this side (the root of its area), or for the image itself with `side` of its own."""
    shorter = min(image)
    line = min(side * OBJECT_LINE, shorter * THICKEST_LINE)
    font = _stepped(min(side * OBJECT_FONT, shorter * LARGEST_FONT))
    return Sizes(round(max(THINNEST_LINE, line, shorter * VISIBLE_LINE)),
                 round(max(SMALLEST_FONT, font, shorter * READABLE_FONT)))


def _stepped(font: float) -> float:
    """The next smaller one of few sizes: many that hardly differ look untidy, and their letters are rendered anew."""
    steps = int(log(max(font, SMALLEST_FONT) / SMALLEST_FONT, FONT_STEP))
    return SMALLEST_FONT * FONT_STEP ** steps


def enlargement(image: tuple[int, int], sides: list[float]) -> int:
    """How many times larger than the image its drawing is: so that a small image, or small objects in one that is not
    large, can be seen."""
    longer = max(image)
    for_image = SHORT_IMAGE / longer
    middle = sorted(sides)[len(sides) // 2] if sides else SHORT_OBJECT
    for_objects = min(SHORT_OBJECT / max(middle, 1), LONGEST_ENLARGED / longer)
    return max(1, min(MOST_ENLARGED, round(max(for_image, for_objects))))
