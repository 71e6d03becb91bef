"""Where a Hugging Face processor puts the image: size, resize, crop and padding."""

from collections.abc import Mapping

from inference.findings.sources.preprocessor_file import Preprocessor
from inference.findings.sources.seen import Facts
from inference.spec import Fill, Size

STRETCHED_BEFORE_CROP = ("DeiT", "Beit")
CENTERED = ("DPT", "CHMv2")  # the image is put into the middle of what is filled up
CONVNEXT_CROPS_BELOW = 384  # pixels
CONVNEXT_CROP_PCT = 224 / 256
LEVIT_SHARE = 256 / 224
# How sides become multiples, of the families that resize to them instead of filling up.
ROUNDING = {"GLPN": "down", "Yolos": "down", "MaskFormer": "up", "Mask2Former": "up", "TextNet": "up"}
YOLOS_MULTIPLE = 16  # pixels
ZOE_MARGIN = 3.0
POSE_MARGIN = 0.125  # of a box's sides: padding_factor = 1.25 of box_to_center_and_scale, the box being the whole image


class NotFollowed(ValueError):
    """The processor does what is not done here. The text names the keys."""


def geometry(found: Preprocessor, zero: Fill | None) -> Facts:
    """Size, resize and what it needs besides; `zero` is the pixel that normalises to 0, which processors fill up with.

    Raises:
        NotFollowed: the keys ask for what is not done here.
    """
    crop = _square(found.crop_size) if found.do_center_crop and found.crop_size is not None else None
    if not found.do_resize or found.size is None:
        return _cropped(crop, None) if crop else _own_size(found, zero)
    sides = _sides(found)
    if {"height", "width"} <= sides.keys():
        return _exact(found, (sides["width"], sides["height"]), crop)
    if {"max_height", "max_width"} <= sides.keys():
        size = _padding(found) or (sides["max_width"], sides["max_height"])
        return {"resize": "letterbox", "anchor": "top-left", "rounding": "down", "size": size, "fill": zero}
    return _by_edges(found, sides, crop, zero) if "shortest_edge" in sides or "longest_edge" in sides else {}


def _own_size(found: Preprocessor, zero: Fill | None) -> Facts:
    """The image's own size, where its sides have to be multiples; else nothing is said of the size."""
    return {"resize": "fit", **_multiples(found, zero)} if found.padded_to else {}


def _multiples(found: Preprocessor, zero: Fill | None) -> Facts:
    """How sides become multiples. DPT puts the image into the middle, Swin2SR fills up with the image mirrored."""
    if found.family == "Yolos":
        return {"multiple_of": YOLOS_MULTIPLE, "rounding": ROUNDING["Yolos"]}
    if found.padded_to is None:
        return {}
    rounding, anchor = ROUNDING.get(found.family), "center" if found.family in CENTERED else "top-left"
    around: Facts = {"anchor": anchor, "fill": "mirror" if found.family == "Swin2SR" else zero}
    return {"multiple_of": found.padded_to, **({"rounding": rounding} if rounding else around)}


# Exact sides


def _exact(found: Preprocessor, size: Size, crop: Size | None) -> Facts:
    """Stretched; DeiT then cuts out the middle of a square, which Perceiver does before."""
    if found.keep_aspect_ratio:
        return _closest(found, size)
    if found.family == "VitPose":
        return {"resize": "letterbox", "anchor": "center", "size": size, "margin": POSE_MARGIN, "resample": "linear",
                "fill": (0.0, 0.0, 0.0)}
    if found.family == "ZoeDepth" and found.do_pad:
        raise NotFollowed("do_pad: the image is surrounded by itself, and then stretched")
    size = _rounded(found, size)
    if found.do_pad and (_padding(found) or size) != size:
        raise NotFollowed("pad_size: what was resized to exact sides is filled up to others")
    if crop and found.family == "Perceiver":
        return _cropped(size, max(crop))
    if crop is None or crop == size or size[0] != size[1] or crop[0] > size[0] or crop[1] > size[1]:
        return {"resize": "stretch", "size": crop or size}
    return {"resize": "stretch", "size": crop, "shortest_edge": size[0], "crop_down": True}


def _closest(found: Preprocessor, size: Size) -> Facts:
    """DPT, Depth Anything; ZoeDepth surrounds the image with itself, mirrored, before."""
    multiple = max(1, round(found.ensure_multiple_of or 1))
    if found.do_pad and found.family != "ZoeDepth" and multiple % (found.padded_to or 1):
        raise NotFollowed("size_divisor: the sides become multiples of ensure_multiple_of, and then of another number")
    # With a fraction, which transformers 5 writes for ZoeDepth, sides are cut off to whole pixels.
    rounding = "down" if 0 < (found.ensure_multiple_of or 1) < 1 else None
    facts: Facts = {"resize": "closest", "size": size, "multiple_of": multiple, "rounding": rounding}
    return facts | ({"margin": ZOE_MARGIN, "fill": "mirror"} if found.family == "ZoeDepth" and found.do_pad else {})


def _rounded(found: Preprocessor, size: Size) -> Size:
    """The exact sides as multiples: of DPT by ensure_multiple_of, of MaskFormer by size_divisor."""
    multiple = found.padded_to if ROUNDING.get(found.family) == "up" else None
    if multiple:
        return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple
    multiple = max(1, round(found.ensure_multiple_of or 1))
    width, height = (max(1, round(side / multiple)) * multiple for side in size)
    return width, height


# Sides by edges


def _by_edges(found: Preprocessor, sides: Mapping[str, int], crop: Size | None, zero: Fill | None) -> Facts:
    shortest, longest = sides.get("shortest_edge"), sides.get("longest_edge")
    if shortest is not None and (found.crop_pct is not None or found.family == "ConvNext"):
        return _by_share(found, shortest, found.crop_pct or CONVNEXT_CROP_PCT, crop)
    if shortest is not None and found.family == "Levit":
        shortest = int(shortest * LEVIT_SHARE)
    if crop and (shortest is None or longest is not None):
        raise NotFollowed("crop_size: what is cut out was resized by its longest edge")
    if crop:
        return _cropped(crop, shortest)
    edges = {"shortest_edge": shortest, "longest_edge": longest}
    padding = _padding(found)
    if padding:
        return {"resize": "letterbox", "anchor": "top-left", "size": padding, "fill": zero, **edges}
    return {"resize": "fit", **edges, **_multiples(found, zero)}


def _by_share(found: Preprocessor, side: int, crop_pct: float, crop: Size | None) -> Facts:
    """The middle of a larger image. ConvNext stretches instead where the input is large."""
    if crop_pct <= 0 or (found.family != "PoolFormer" and side >= CONVNEXT_CROPS_BELOW):
        return {"resize": "stretch", "size": (side, side)}
    return _cropped(crop if crop and found.family == "PoolFormer" else (side, side), int(side / crop_pct))


def _cropped(crop: Size, shortest: int | None) -> Facts:
    """The corner of a crop is rounded down here."""
    return {"resize": "crop", "size": crop, "shortest_edge": shortest, "crop_down": True}


# What the keys mean


def _sides(found: Preprocessor) -> dict[str, int]:
    """`size` with the meaning that older files, which have a number there, leave to the processor."""
    if isinstance(found.size, dict):
        return {name: side for name, side in found.size.items() if side is not None}
    if isinstance(found.size, list):
        return {"height": found.size[0], "width": found.size[-1]} if found.size else {}
    assert found.size is not None
    if found.max_size is not None:
        return {"shortest_edge": found.size, "longest_edge": found.max_size}
    edge = found.do_center_crop and found.family not in (*STRETCHED_BEFORE_CROP, "Perceiver")
    if edge or found.crop_pct is not None or found.family == "ConvNext":
        return {"shortest_edge": found.size}
    return {"height": found.size, "width": found.size}


def _padding(found: Preprocessor) -> Size | None:
    """The sides that an image is filled up to, whatever its own are."""
    return _square(found.pad_size) if found.do_pad and isinstance(found.pad_size, dict) else None


def _square(sides: int | list[int] | Mapping[str, int | None]) -> Size | None:
    """Width and height of a crop or a padding."""
    if isinstance(sides, int):
        return sides, sides
    if isinstance(sides, list):
        return (sides[-1], sides[0]) if sides else None
    height = sides.get("height", sides.get("shortest_edge"))
    width = sides.get("width", height)
    return (width, height) if width and height else None
