"""The `Accept` header -> the media type in which a prediction is answered. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.problems import NotAcceptable
from inference.drawing.style import Style

JSON = "application/json"
PLAIN = Style()
DRAWINGS = ("image/png", "image/jpeg", "image/webp")
TENSORS = ("application/x-npy", "application/octet-stream")
PAGES = ("text/html", "application/xhtml+xml")
KINDS = (JSON, *DRAWINGS, *TENSORS)
ANYTHING = ("*/*", "*")  # Java before 19 sends both
# Beside one of these an image type does not mean that a drawing is wanted: browsers and Java's HttpURLConnection list
# what they can show, whatever their program wants.
BESIDE_WHAT_IS_SHOWN = ("text/html", *ANYTHING)


@dataclass(frozen=True)
class Wanted:
    """The media type that a caller likes best, whether JSON would do where the result has no such form, and how a
    drawing is to look."""

    kind: str = JSON
    or_json: bool = True
    style: Style = PLAIN


def wanted(header: str) -> Wanted:
    """JSON, unless an image or plain numbers are named and liked better.

    Raises:
        NotAcceptable: the header names nothing that is written here.
    """
    liked = {} if header in ANYTHING else _qualities(header)
    if not liked:
        return Wanted()
    json, offered = _quality_of_json(liked), TENSORS if _only_shows(liked) else (*DRAWINGS, *TENSORS)
    better = {kind: quality for kind in offered if (quality := _quality(kind, liked)) > json}
    if better:
        return Wanted(max(better, key=better.__getitem__), json > 0)
    if json > 0 or any(_quality(kind, liked) > 0 for kind in DRAWINGS):
        return Wanted()
    raise NotAcceptable(f"answers are written as {', '.join(KINDS)}")


def likes_page(header: str) -> bool:
    """Whether a page is wanted, as browsers do: HTML is named, and JSON is not liked better."""
    liked = _qualities(header)
    page = max(liked.get(name, 0.0) for name in PAGES)
    return page > 0 and page >= liked.get(JSON, 0.0)


def _only_shows(liked: Mapping[str, float]) -> bool:
    """Whether image types are not meant; a caller who refuses JSON means them."""
    return liked.get(JSON) != 0 and any(liked.get(name, 0) > 0 for name in BESIDE_WHAT_IS_SHOWN)


def _qualities(header: str) -> dict[str, float]:
    """Media range -> how much it is liked. Other parameters do not count; of a range given twice the better counts."""
    found: dict[str, float] = {}
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name:
            found[name] = max(found.get(name, 0.0), _q(parameters))
    return found


def _q(parameters: list[str]) -> float:
    """The quality, from 0 to 1; what is missing or malformed means 1."""
    given = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
    try:
        return min(1.0, max(0.0, float(given)))
    except ValueError:
        return 1.0


def _quality(kind: str, liked: Mapping[str, float]) -> float:
    """How much a type is liked that is named, itself or as its family; 0 where only `*/*` would fit."""
    return next((liked[name] for name in (kind, f"{kind.partition('/')[0]}/*") if name in liked), 0.0)


def _quality_of_json(liked: Mapping[str, float]) -> float:
    return next((liked[name] for name in (JSON, "application/*", *ANYTHING) if name in liked), 0.0)
