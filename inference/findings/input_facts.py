"""Decides how pixels become the model's input."""

import math
from typing import Any

from inference.errors import ModelNotUsable
from inference.findings.canvas_facts import canvas, edges, where
from inference.findings.contradictions import name_contradictions
from inference.findings.facts import Candidate, Facts
from inference.findings.sources import DEFAULT, ONNX_SHAPES
from inference.findings.sources.onnx_inputs import CHANNEL_COUNTS, ImageInput, told
from inference.model_toml import MAX_SIDE, MODEL_TOML, Color, Layout, Resize
from inference.spec import CHANNELS, InputSpec, Size

INTEGERS = ("UINT8", "INT8")
INT8_MEAN = 128.0
STAND_IN = 224  # pixels of a side, for a size that is missing, until all that is missing is known


def layout_of(facts: Facts, image: ImageInput) -> Layout:
    """Raises ModelNotUsable where neither the shape nor a file tells it, or the channels are not 1 or 3."""
    written = [claim for claim in facts.known("layout") if claim[0] == MODEL_TOML]
    layout: Layout = facts.pick("layout", *written, (ONNX_SHAPES, image.layout), *facts.known("layout"),
                                advice='add layout = "NCHW" (or "NHWC") below [input] in model.toml', stand_in="NCHW")
    channels = image.channels(layout)
    if channels not in (*CHANNEL_COUNTS, None):
        raise ModelNotUsable(f"input {told(image.tensor)} has {channels} channels in the layout {layout}; 1 or 3 are "
                             "fed: correct layout below [input] in model.toml, or export the model for RGB images")
    return layout


def channels_of(facts: Facts, image: ImageInput, layout: Layout) -> int:
    """1 or 3; an open number is 3 unless a colour says otherwise."""
    return image.channels(layout) or CHANNELS[facts.first("color") or "RGB"]


def size_claimed(facts: Facts, image: ImageInput, layout: Layout) -> Size | None:
    """The input's size as far as it is known before the task is."""
    return _with_sides(image.sides(layout), facts.first("size"))


def input_spec(facts: Facts, image: ImageInput, layout: Layout, any_size: bool) -> InputSpec:
    """Every fact of the input. `any_size` is True for a task that can leave an image its own size.

    Raises:
        ModelNotUsable: a fact cannot be found out, or a file contradicts the model.
    """
    _warn(facts, image, layout)
    channels = channels_of(facts, image, layout)
    color = _color(facts, channels)
    size, resize = _size_and_resize(facts, image.sides(layout), any_size)
    around = canvas(facts, resize, size, open_sides=image.sides(layout) == (None, None))
    return InputSpec(
        name=facts.pick("input", (_source_of_name(facts), image.tensor.name)), batched=image.batched, size=size,
        datatype=facts.pick("datatype", (ONNX_SHAPES, image.tensor.datatype)), batch=_batch(facts, image),
        layout=layout, color=color, resize=resize, **edges(facts, size, resize), **around,
        resample=facts.decide("resample", (DEFAULT, "bilinear")), **_values(facts, image.tensor.datatype, channels))


def _warn(facts: Facts, image: ImageInput, layout: Layout) -> None:
    """Warn of files that contradict the model, and of kinds that are not known, unless a person knows better."""
    name_contradictions(facts, image, layout)
    for _, text in facts.known("unknown"):
        if facts.known("resize")[:1] != [(MODEL_TOML, facts.first("resize"))]:
            facts.warn(text)


def _source_of_name(facts: Facts) -> str:
    return MODEL_TOML if facts.first("name") is not None else ONNX_SHAPES


def _batch(facts: Facts, image: ImageInput) -> int | None:
    facts.pick("batch", (ONNX_SHAPES, image.batch or "dynamic"))
    return image.batch


def _color(facts: Facts, channels: int) -> Color:
    """A colour with as many channels as the input; one written into model.toml has to fit."""
    for source, color in facts.known("color"):
        if source == MODEL_TOML and CHANNELS[color] != channels:
            facts.refuse(f'model.toml, input.color: "{color}" has {CHANNELS[color]} channels, the model takes '
                         f"{channels}: write {' or '.join(_colors(channels))}")
    fitting = [claim for claim in facts.known("color") if CHANNELS[claim[1]] == channels]
    one: Candidate = (ONNX_SHAPES, "L" if channels == 1 else None)
    return facts.pick("color", *fitting, one, (DEFAULT, "RGB"))


def _colors(channels: int) -> list[str]:
    return [f'"{color}"' for color, count in CHANNELS.items() if count == channels]


# Size


def _size_and_resize(facts: Facts, sides: tuple[int | None, int | None],
                     any_size: bool) -> tuple[Size | None, Resize]:
    written = [value for source, value in facts.known("size") if source == MODEL_TOML]
    _check_size(facts, sides, written[0] if written else None)
    fixed = None not in sides
    facts.pick("size_is", (ONNX_SHAPES, "fixed" if fixed else "dynamic"))
    if fixed or written:
        size = facts.pick("size", (ONNX_SHAPES if fixed else MODEL_TOML, _with_sides(sides, (written or [None])[0])))
        return size, _resize_to(facts, size, open_sides=sides == (None, None))
    return _open_size(facts, sides, any_size)


def _open_size(facts: Facts, sides: tuple[int | None, int | None], any_size: bool) -> tuple[Size | None, Resize]:
    """The size for a model that takes any: the one that a file recommends, or the image's own."""
    own_size = any_size and facts.first("size") is None
    if sides == (None, None) and (facts.first("resize") == "fit" or (own_size and facts.first("resize") is None)):
        resize: Resize = facts.decide("resize", (DEFAULT, "fit"))
        facts.pick("size", (facts.source_of("resize"), "the image's own"))
        return None, resize
    known = [*facts.known("size"), *([] if any_size else facts.known("image_size"))]
    recommended = [(source, _with_sides(sides, size)) for source, size in known]
    side = facts.first("suggested_side") or STAND_IN
    size: Size = facts.pick("size", *recommended, advice=_size_advice(facts, side),
                            stand_in=_with_sides(sides, (side, side)))
    _check_served(size)
    return size, _resize_to(facts, size, open_sides=sides == (None, None))


def _size_advice(facts: Facts, side: int) -> str:
    """One that was tried; else which ones were, in vain."""
    refused = facts.first("refused_sides")
    if refused is None:
        return f"add size = {side} (the model's, in pixels) below [input] in model.toml"
    return ("add size = { width = …, height = … } (of its training, in pixels: squares of "
            f"{', '.join(map(str, sorted(refused)))} do not fit) below [input] in model.toml")


def _resize_to(facts: Facts, size: Size, open_sides: bool) -> Resize:
    """The way to one size. A recommendation to keep the image's own aspect is stretched, with a warning; one in
    model.toml is refused."""
    given, varied = facts.known("resize"), ("fit",) if open_sides else ("fit", "closest")
    for way in varied:
        if (MODEL_TOML, way) in given:
            facts.refuse(f'model.toml, input.resize: "{way}" gives images of many sizes, the model takes '
                         f'{_told(size)}: write "letterbox", "crop" or "stretch"')
    if given and given[0][1] in varied:
        facts.warn(f"each image would keep its aspect ({given[0][0]}), and the input is {_told(size)} pixels: images "
                   "are stretched to that; leave the sides open in the export, or write resize below [input] in "
                   "model.toml")
    return facts.pick("resize", *(claim for claim in given if claim[1] not in varied), (DEFAULT, "stretch"))


def _with_sides(sides: tuple[int | None, int | None], size: Size | None) -> Size | None:
    """`size` with the sides that the model fixes in their place."""
    width, height = sides[0] or (size[0] if size else None), sides[1] or (size[1] if size else None)
    return (width, height) if width and height else None


def _check_size(facts: Facts, sides: tuple[int | None, int | None], written: Size | None) -> None:
    for side in sides:
        if side is not None:
            _check_served((side, side))
    if written and any(side not in (None, own) for side, own in zip(sides, written, strict=True)):
        takes = " x ".join("any" if side is None else str(side) for side in sides)
        facts.refuse(f"model.toml, input.size: {_told(written)} is not what the model takes, {takes} pixels "
                     "(width x height): remove size, or export the model for this size")


def _check_served(size: Size) -> None:
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise ModelNotUsable(f"the input is {_told(size)} pixels; 1 to {MAX_SIDE} a side are served: export the model "
                             "with another input size")


def _told(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


# Values


def _values(facts: Facts, datatype: str, channels: int) -> dict[str, Any]:
    """Scale, mean and deviation. An input of whole numbers takes pixels as they are, whatever a file says of floats."""
    whole = datatype in INTEGERS
    usual = {"scale": 1.0 if whole else 1 / 255, "mean": INT8_MEAN if datatype == "INT8" else 0.0, "std": 1.0}
    found: dict[str, Any] = {}
    for fact, default in usual.items():
        known = [claim for claim in facts.known(fact) if claim[0] == MODEL_TOML or not whole]
        value = facts.pick(fact, *known, (DEFAULT, default))
        found[fact] = value if _are_sound(facts, fact, value) else default
    return found | {fact: _per_channel(facts, fact, found[fact], channels) for fact in ("mean", "std")}


def _per_channel(facts: Facts, fact: str, value: float | tuple[float, ...], channels: int) -> tuple[float, ...]:
    values = value if isinstance(value, tuple) else (value,)
    values = values[:1] if channels == len(set(values)) == 1 else values
    if len(values) not in (1, channels):
        advice = "" if facts.source_of(fact) == MODEL_TOML else f" as {fact} below [input] in model.toml"
        facts.refuse(f"{where(facts, fact)}: {len(values)} numbers for {channels} channel{'s' * (channels > 1)}: write "
                     f"one number, or one a channel{advice}")
        return (next(iter(values), 1.0),) * channels
    return values * channels if len(values) == 1 else values


def _are_sound(facts: Facts, fact: str, value: float | tuple[float, ...]) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    if all(map(math.isfinite, values)) and (fact == "mean" or 0 not in values):
        return True
    facts.refuse(f"{where(facts, fact)}: expected numbers" + (", none of them 0" * (fact != "mean")))
    return False
