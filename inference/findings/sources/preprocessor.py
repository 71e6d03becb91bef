"""A Hugging Face export's `preprocessor_config.json`: how an image becomes the input."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.findings.sources import PREPROCESSOR_CONFIG, Claims
from inference.findings.sources.text_files import Document, read_json
from inference.spec import Size

# PIL's numbers
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
STRETCHED_BEFORE_CROP = ("DeiT", "Beit", "Perceiver")
CONVNEXT_CROPS_BELOW = 384  # pixels
CONVNEXT_CROP_PCT = 224 / 256
Facts = dict[str, Any]
Sides = int | list[int] | dict[str, int | None]


class Preprocessor(Document):
    """`preprocessor_config.json`; what an older file leaves out has the processors' usual value."""

    image_processor_type: str = ""
    feature_extractor_type: str = ""
    do_resize: bool = True
    size: Sides | None = None
    max_size: int | None = None
    crop_pct: float | None = None
    resample: int | None = None
    do_center_crop: bool = False
    crop_size: Sides | None = None
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    rescale_offset: bool = False
    do_normalize: bool | None = None
    image_mean: list[float] | float | None = None
    image_std: list[float] | float | None = None
    include_top: bool = False
    do_flip_channel_order: bool | None = None
    do_pad: bool = False
    pad_size: int | dict[str, int] | None = None
    size_divisor: int | None = None
    size_divisibility: int | None = None

    @property
    def kind(self) -> str:
        return self.image_processor_type or self.feature_extractor_type


def claims(folder: Path) -> Claims | None:
    """How an image becomes the input; None where the file is absent.

    Raises:
        ModelNotUsable: the file is damaged.
    """
    found = read_json(Preprocessor, folder / PREPROCESSOR_CONFIG)
    if found is None:
        return None
    facts: Facts = {"layout": "NCHW", "resample": RESAMPLE.get(found.resample) if found.resample is not None else None,
                    "color": "BGR" if found.do_flip_channel_order else None, "multiple_of": _multiple_of(found),
                    **_normalisation(found), **_geometry(found)}
    return Claims(PREPROCESSOR_CONFIG, {fact: value for fact, value in facts.items() if value is not None})


# Values


def _normalisation(found: Preprocessor) -> Facts:
    """Rescale, then normalise. With an offset pixels become -1..1; EfficientNet divides by the deviation once more."""
    facts: Facts = {"scale": found.rescale_factor if found.do_rescale else 1.0}
    mean, std = _normalised_by(found)
    if found.rescale_offset and found.do_rescale:
        mean = tuple(value + 1 for value in mean)
    if found.include_top and found.image_std is not None:
        further = _values(found.image_std)
        mean, std = _equal_lengths(mean, std, further)
        std = tuple(one * two for one, two in zip(std, further * (len(std) if len(further) == 1 else 1), strict=False))
    return facts | {"mean": mean, "std": std}


def _normalised_by(found: Preprocessor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation. MobileViT's processor, the one that may flip channels, never normalises."""
    wanted = found.do_normalize
    if wanted is None:
        wanted = found.image_mean is not None and found.do_flip_channel_order is None
    if not wanted or found.image_mean is None or found.image_std is None:
        return (0.0,), (1.0,)
    return _values(found.image_mean), _values(found.image_std)


def _values(given: list[float] | float) -> tuple[float, ...]:
    return tuple(given) if isinstance(given, list) else (given,)


def _equal_lengths(mean: tuple[float, ...], std: tuple[float, ...],
                   further: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    count = max(len(mean), len(std), len(further))
    return (mean * count if len(mean) == 1 else mean), (std * count if len(std) == 1 else std)


# Sizes


def _geometry(found: Preprocessor) -> Facts:
    """Size, resize and its edges. The corner of a crop is rounded down here."""
    crop = _square(found.crop_size) if found.do_center_crop and found.crop_size is not None else None
    if not found.do_resize or found.size is None:
        return {"resize": "crop", "size": crop, "crop_down": True, "shortest_edge": None} if crop else {}
    sides = _sides(found)
    if {"height", "width"} <= sides.keys():
        return _exact((sides["width"], sides["height"]), crop)
    if {"max_height", "max_width"} <= sides.keys():
        return _inside(found, (sides["max_width"], sides["max_height"]))
    return _by_edges(found, sides, crop) if "shortest_edge" in sides or "longest_edge" in sides else {}


def _exact(size: Size, crop: Size | None) -> Facts:
    """Stretched; DeiT then cuts out the middle of a square."""
    if crop is None or crop == size or size[0] != size[1] or crop[0] > size[0] or crop[1] > size[1]:
        return {"resize": "stretch", "size": crop or size}
    return {"resize": "stretch", "size": crop, "shortest_edge": size[0], "crop_down": True}


def _inside(found: Preprocessor, size: Size) -> Facts:
    """The image as large as fits, filled up at the right and below with what normalises to 0."""
    pad = _square(found.pad_size) if found.do_pad and isinstance(found.pad_size, dict) else None
    mean, _ = _normalised_by(found)
    scale = found.rescale_factor if found.do_rescale else 1.0
    fill = tuple(value / scale for value in (mean * 3)[:3]) if scale else None
    return {"resize": "letterbox", "anchor": "top-left", "size": pad or size, "fill": fill}


def _by_edges(found: Preprocessor, sides: Mapping[str, int], crop: Size | None) -> Facts:
    shortest, longest = sides.get("shortest_edge"), sides.get("longest_edge")
    if shortest is not None and (found.crop_pct is not None or found.kind.startswith("ConvNext")):
        return _convnext(shortest, found.crop_pct or CONVNEXT_CROP_PCT)
    if shortest is not None and found.kind.startswith("Levit"):
        shortest = int(shortest * 256 / 224)
    if crop:
        return {"resize": "crop", "size": crop, "shortest_edge": shortest, "crop_down": True}
    return {"resize": "fit", "shortest_edge": shortest, "longest_edge": longest}


def _convnext(side: int, crop_pct: float) -> Facts:
    """The middle of a larger image for small inputs; large ones are stretched."""
    if side >= CONVNEXT_CROPS_BELOW or crop_pct <= 0:
        return {"resize": "stretch", "size": (side, side)}
    return {"resize": "crop", "size": (side, side), "shortest_edge": int(side / crop_pct), "crop_down": True}


def _sides(found: Preprocessor) -> dict[str, int]:
    """`size` with the meaning that older files, which have a number there, leave to the processor."""
    if isinstance(found.size, dict):
        return {name: side for name, side in found.size.items() if side is not None}
    if isinstance(found.size, list):
        return {"height": found.size[0], "width": found.size[-1]} if found.size else {}
    assert found.size is not None
    if found.max_size is not None:
        return {"shortest_edge": found.size, "longest_edge": found.max_size}
    edge = found.do_center_crop and not found.kind.startswith(STRETCHED_BEFORE_CROP)
    if edge or found.crop_pct is not None or found.kind.startswith("ConvNext"):
        return {"shortest_edge": found.size}
    return {"height": found.size, "width": found.size}


def _square(sides: int | list[int] | Mapping[str, int | None]) -> Size | None:
    """Width and height of a crop or a padding."""
    if isinstance(sides, int):
        return sides, sides
    if isinstance(sides, list):
        return (sides[-1], sides[0]) if sides else None
    height = sides.get("height", sides.get("shortest_edge"))
    width = sides.get("width", height)
    return (width, height) if width and height else None


def _multiple_of(found: Preprocessor) -> int | None:
    """Swin2SR calls it pad_size, others size_divisor."""
    padded = found.pad_size if found.do_pad and isinstance(found.pad_size, int) else None
    return padded or found.size_divisor or found.size_divisibility
