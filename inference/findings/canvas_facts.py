"""Decides what a way to resize needs besides the size: the image's edges, and what is around it."""

from typing import Any

from inference.errors import ModelNotUsable
from inference.findings.facts import Candidate, Facts
from inference.findings.sources import DEFAULT, Claims
from inference.model_toml import MAX_SIDE, MODEL_TOML, Resize
from inference.spec import Fill, Size

LETTERBOX_FILL = (114.0, 114.0, 114.0)  # what YOLO models are trained with
BLACK = (0.0, 0.0, 0.0)
WHITE = 255
WAYS_OF_EDGES: tuple[tuple[str, tuple[Resize, ...]], ...] = (
    ("shortest_edge", ("crop", "fit", "stretch", "letterbox")), ("longest_edge", ("fit", "letterbox")))
# What else a way may need.
OF_OWN_SIDES: dict[Resize, tuple[str, ...]] = {"fit": ("anchor", "rounding"), "closest": ("rounding", "margin"),
                                             "letterbox": ("margin",)}


def edges(facts: Facts, size: Size | None, resize: Resize) -> dict[str, Any]:
    """The edges that the source of `resize` names; edges of another way to resize mean nothing."""
    found: dict[str, Any] = {}
    for fact, ways in WAYS_OF_EDGES:
        candidates = [(claim.source, claim.facts[fact]) for claim in _of_same_way(facts, fact, resize)
                      if claim.source == MODEL_TOML or _is_edge(claim, fact, size, resize)]
        if resize in ways and candidates:
            found[fact] = facts.pick(fact, *candidates)
    return found | {"crop_down": bool(facts.first("crop_down")) and resize in ("crop", "stretch")}


def canvas(facts: Facts, resize: Resize, size: Size | None, open_sides: bool) -> dict[str, Any]:
    """What is around the image.

    Raises:
        ModelNotUsable: a fact is out of range.
    """
    found = _multiples(facts, resize, size, open_sides)
    if resize == "letterbox":
        found["anchor"] = facts.decide("anchor", (DEFAULT, "center"))
        found["rounding"] = facts.decide("rounding", (DEFAULT, "nearest"))
    for fact in OF_OWN_SIDES.get(resize, ()):
        if candidates := _known(facts, fact, resize):
            found[fact] = facts.pick(fact, *candidates)
    return found | {"fill": _fill(facts) if _is_filled(found, resize) else BLACK}


def where(facts: Facts, fact: str) -> str:
    """Where a decided fact is written, for messages."""
    source = facts.source_of(fact)
    return f"{source}, input.{fact}" if source == MODEL_TOML else f"{source}, {fact}"


def _multiples(facts: Facts, resize: Resize, size: Size | None, open_sides: bool) -> dict[str, Any]:
    """What the sides are multiples of, where each image has its own."""
    multiples = _known(facts, "multiple_of", "letterbox")
    if resize == "letterbox" and open_sides and multiples:
        return {"multiple_of": facts.pick("multiple_of", *multiples)}
    if size is not None and resize != "closest":
        return {}
    multiple = facts.decide("multiple_of", (DEFAULT, 1))
    if not 1 <= multiple <= MAX_SIDE:
        raise ModelNotUsable(f"{where(facts, 'multiple_of')}: expected a number of pixels from 1 to {MAX_SIDE}")
    return {"multiple_of": multiple}


def _is_filled(found: dict[str, Any], resize: Resize) -> bool:
    """Whether the input may show more than the image."""
    to_multiples = found.get("multiple_of", 1) > 1 and resize != "closest" and "rounding" not in found
    return resize == "letterbox" or to_multiples or found.get("margin", 0) > 0


def _fill(facts: Facts) -> Fill:
    """A pixel's red, green and blue, or the image itself."""
    fill = facts.decide("fill", (DEFAULT, LETTERBOX_FILL))
    if fill == "mirror":
        return "mirror"
    values = fill if isinstance(fill, tuple) else (fill, fill, fill)
    if len(values) != 3 or not all(0 <= value <= WHITE for value in values):
        raise ModelNotUsable(f"{where(facts, 'fill')}: expected pixel values from 0 to {WHITE}, one or three")
    red, green, blue = values
    return red, green, blue


def _known(facts: Facts, fact: str, resize: Resize) -> list[Candidate]:
    return [(claim.source, claim.facts[fact]) for claim in _of_same_way(facts, fact, resize)]


def _of_same_way(facts: Facts, fact: str, resize: Resize) -> list[Claims]:
    """The sources that know a fact for this way to resize: what they say for another one means nothing."""
    return [claim for claim in facts.claims if claim.facts.get(fact) is not None
            and (claim.source == MODEL_TOML or claim.facts.get("resize") == resize)]


def _is_edge(claim: Claims, fact: str, size: Size | None, resize: Resize) -> bool:
    """A crop of an image that is smaller than the crop shows its rim, which is not meant where the crop is another."""
    edge, meant = claim.facts[fact], claim.facts.get("size")
    return 1 <= edge <= MAX_SIDE and (size is None or size == meant or resize == "letterbox" or edge >= min(size))
