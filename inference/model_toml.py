"""`model.toml`: every key that a person may write, checked. Each is optional and overrides what was found out."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.errors import ModelNotUsable

TaskName = Literal["image-classification", "object-detection", "keypoint-detection", "image-segmentation",
                   "depth-estimation", "image-feature-extraction", "image-to-image", "tensor"]
TASK_NAMES: tuple[str, ...] = get_args(TaskName)
Activation = Literal["softmax", "sigmoid", "none"]
Layout = Literal["NCHW", "NHWC"]
Color = Literal["RGB", "BGR", "L", "Y"]
Resize = Literal["stretch", "crop", "letterbox", "fit", "closest"]
Anchor = Literal["center", "top-left"]
Rounding = Literal["nearest", "down", "up"]
Mirror = Literal["mirror"]
Resample = Literal["nearest", "box", "linear", "bilinear", "hamming", "bicubic", "lanczos"]
Columns = Literal["box scores", "box objectness scores", "box score class", "batch box class score",
                  "batch box score class", "scores box", "objectness box scores"]
Boxes = Literal["xyxy", "xywh", "cxcywh", "yxyx", "grid", "ltrb", "dfl", "tanh"]
Point = Literal["center", "corner"]
Combined = Literal["product", "root"]
Units = Literal["pixels", "normalised"]
Background = Literal["none", "first", "last"]
Nms = Literal["per-class", "all", "none"]
Interpolation = Literal["bicubic", "aligned"]
MAX_SIDE = 8192  # pixels of a model's input
MOST_MARGIN = 10  # times the root of half a side
MAX_BINS = 256  # numbers of the distribution that a distance is told by
MODEL_TOML = "model.toml"
PARAMETER_NAME = r"^[a-z][a-z0-9_]{0,63}$"
MOST_TOLD = 10  # problems of one file
MAX_BYTES = 10 << 20
Side = Annotated[int, Field(gt=0, le=MAX_SIDE)]
Share = Annotated[float, Field(ge=0, le=1)]
KeypointCount = Annotated[int, Field(ge=1, le=1000)]
Names = str | tuple[str, ...]  # of one output, or of several of the same role, one a stride
Finite = Annotated[float, Field(allow_inf_nan=False)]
ParameterName = Annotated[str, Field(pattern=PARAMETER_NAME)]
PerChannel = float | tuple[float, ...]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SizeTable(_Table):
    """`size = { width = 640, height = 480 }`, pixels."""

    width: Side
    height: Side


class InputTable(_Table):
    """`[input]`: how an image becomes the model's input, (pixel * scale - mean) / std."""

    name: str | None = None
    size: Side | SizeTable | None = None
    resize: Resize | None = None
    shortest_edge: Side | None = None
    longest_edge: Side | None = None
    anchor: Anchor | None = None
    rounding: Rounding | None = None
    margin: Annotated[float, Field(ge=0, le=MOST_MARGIN)] | None = None
    fill: float | tuple[float, float, float] | Mirror | None = None
    resample: Resample | None = None
    multiple_of: Side | None = None
    layout: Layout | None = None
    color: Color | None = None
    scale: float | None = None
    mean: PerChannel | None = None
    std: PerChannel | None = None


class OutputNames(_Table):
    """`[output.names]`: which of several outputs is what. What a detector tells of its boxes may stand in several
    outputs, one for each stride, in the order of the strides."""

    boxes: Names | None = None
    scores: Names | None = None
    classes: Names | None = None
    objectness: Names | None = None
    masks: str | None = None
    depth: str | None = None
    keypoints: Names | None = None
    keypoint_scores: Names | None = None
    heatmaps: str | None = None
    queries: str | None = None
    embedding: str | None = None
    image: str | None = None


class OutputTable(_Table):
    """`[output]`: what the model's numbers mean."""

    names: OutputNames = OutputNames()
    activation: Activation | None = None
    columns: Columns | None = None
    boxes: Boxes | None = None
    units: Units | None = None
    background: Background | None = None
    strides: tuple[Side, ...] | None = None
    point: Point | None = None
    bins: Annotated[int, Field(ge=2, le=MAX_BINS)] | None = None
    combined: Combined | None = None
    keypoints: tuple[KeypointCount, Literal[2, 3]] | None = None
    keypoint_labels: tuple[str, ...] | None = None
    oriented: bool | None = None
    nms: Nms | None = None
    threshold: Share | None = None
    iou: Share | None = None
    normalize: bool | None = None
    range: tuple[float, float] | None = None
    interpolation: Interpolation | None = None


class TilingTable(_Table):
    """`[tiling]`: an image larger than one tile is cut into tiles that overlap."""

    tile: Side | None = None
    overlap: Annotated[int, Field(ge=0, le=MAX_SIDE)] | None = None
    batch: Annotated[int, Field(ge=1, le=64)] | None = None


class ParameterTable(_Table):
    """`[parameters.<name>]`: what a caller may set in a request: the value of a further input of one number, of this
    name or the one that `input` tells; or, beside hooks.py, what its `context.parameters` has."""

    default: bool | int | Finite
    minimum: Finite | None = None
    maximum: Finite | None = None
    input: str | None = None


class ModelToml(_Table):
    """The keys of `model.toml`."""

    task: TaskName | None = None
    labels: tuple[str, ...] | None = None
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    providers: tuple[str, ...] | None = None
    input: InputTable = InputTable()
    output: OutputTable = OutputTable()
    tiling: TilingTable | None = None
    constants: dict[str, Any] = {}
    parameters: dict[ParameterName, ParameterTable] = {}


def read_toml(path: Path) -> ModelToml:
    """`model.toml`, or its defaults where there is none.

    Raises:
        ModelNotUsable: not TOML, an unknown key or a wrong value; the text names it.
    """
    if not path.is_file():
        return ModelToml()
    if path.stat().st_size > MAX_BYTES:
        raise ModelNotUsable(f"{path.name} has more than {MAX_BYTES >> 20} MB: write it anew, or remove it")
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelNotUsable(f"{path.name} is not TOML: {error}") from error
    try:
        return ModelToml.model_validate(content)
    except ValidationError as error:
        raise ModelNotUsable(f"{path.name}, {problem(error, content)}") from error


# Where pydantic's own words speak of its types instead of what to write.
_EXPECTED = {
    "size": "one number of pixels from 1 to 8192, or { width = 640, height = 480 }",
    "mean": "one number, or a list with one number a channel",
    "std": "one number, or a list with one number a channel",
    "fill": "one number, or a list of three (red, green, blue), or \"mirror\"",
    "labels": "a list of texts, one a class",
    "providers": "a list of texts, such as [\"CPUExecutionProvider\"]",
    "strides": "a list of whole numbers, such as [8, 16, 32]",
    "range": "a list of two numbers, the values for black and white",
    "names": "the name of an output, or, where each stride has one, a list of names",
    "default": "a number, or true or false",
}
_TYPES = {"bool": "true or false", "dict": "a table", "float": "a number", "int": "a whole number",
          "list": "a list", "model": "a table", "string": "a text", "tuple": "a list"}


def problem(error: ValidationError, content: Mapping[str, Any]) -> str:
    """The problems of `content` as "input.size: expected …; …", by the keys a person wrote, each told once."""
    told: dict[str, str] = {}
    for one in error.errors():
        keys = _written_keys(one["loc"], content)
        told.setdefault(".".join(keys), _expectation(one, keys))
    problems = [f"{keys}: {expected}" for keys, expected in told.items()]
    more = f"; and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else ""
    return "; ".join(problems[:MOST_TOLD]) + more


def _written_keys(loc: Sequence[int | str], content: Any) -> list[str]:
    """The part of pydantic's path that is in the file; it adds the names of the types that it tried."""
    keys = []
    for part in loc:
        if isinstance(content, Mapping) and part in content:
            content = content[part]
            keys.append(str(part))
    return keys or [str(part) for part in loc[:1]]


def _expectation(first: Any, keys: list[str]) -> str:
    """What to write instead."""
    kind, context = first["type"], first.get("ctx", {})
    if kind == "extra_forbidden":
        return "there is no such key"
    known = next((_EXPECTED[key] for key in reversed(keys) if key in _EXPECTED), None)
    if known:
        return f"expected {known}"
    if kind == "missing":
        return f"write {first['loc'][-1]}, too"
    if kind == "string_pattern_mismatch":
        return "expected a name of small letters, digits and _, that begins with a letter"
    if kind == "literal_error":
        return f"expected {context['expected']}"
    wanted = _TYPES.get(kind.removesuffix("_parsing").removesuffix("_type").removesuffix("_from_float"))
    if wanted:
        return f"expected {wanted}"
    return f"{first['msg'][0].lower()}{first['msg'][1:]}".replace("input should be", "expected a value")
