"""What is known of a model, and where each fact came from: `model.toml` first, then the model's own files."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.errors import ModelNotUsable
from inference.session import CPU, TensorInfo
from inference.transforms import Resize, Size

Activation = Literal["softmax", "sigmoid", "none"]
Layout = Literal["NCHW", "NHWC"]
Color = Literal["RGB", "BGR", "L"]
CHANNELS = {"RGB": 3, "BGR": 3, "L": 1}
MAX_SIDE = 8192  # pixels of a model's input
MODEL_TOML = "model.toml"
LABELS_TXT = "labels.txt"
ONNX_SHAPES = "ONNX shapes"
DEFAULT = "default"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SizeTable(_Table):
    """`size = { width = 640, height = 480 }`, pixels."""

    width: int = Field(gt=0, le=MAX_SIDE)
    height: int = Field(gt=0, le=MAX_SIDE)


class InputTable(_Table):
    """`[input]`: how an image becomes the model's input, (pixel * scale - mean) / std."""

    name: str | None = None
    size: Annotated[int, Field(gt=0, le=MAX_SIDE)] | SizeTable | None = None
    resize: Resize | None = None
    layout: Layout | None = None
    color: Color | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


class OutputTable(_Table):
    """`[output]`: what the model's numbers mean."""

    activation: Activation | None = None


class ModelToml(_Table):
    """The keys of `model.toml`; each is optional."""

    task: str | None = None
    labels: tuple[str, ...] | None = None
    threads: int | None = Field(None, ge=1, le=256)
    providers: tuple[str, ...] | None = None
    input: InputTable = InputTable()
    output: OutputTable = OutputTable()


@dataclass(frozen=True)
class Finding:
    """One decision about a model, for `GET /models/<name>`."""

    fact: str
    value: Any
    source: str

    def to_dict(self) -> dict:
        return {"fact": self.fact, "value": self.value, "source": self.source}


@dataclass(frozen=True)
class InputSpec:
    """How pixels become the model's one image input."""

    name: str
    size: Size
    resize: Resize
    layout: Layout
    color: Color
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class ModelSpec:
    """Everything that is decided about a model before it runs."""

    name: str
    version: str
    task: str
    labels: tuple[str, ...]
    activation: Activation
    input: InputSpec
    findings: tuple[Finding, ...]


@dataclass
class Facts:
    """Picks each fact from the first source that knows it, and keeps the record."""

    findings: list[Finding] = field(default_factory=list)

    def pick(self, fact: str, *candidates: tuple[str, Any], advice: str = "") -> Any:
        """The first candidate (source, value) whose value is not None.

        Raises:
            ModelNotUsable: no source knows it; `advice` is what to add.
        """
        for source, value in candidates:
            if value is not None:
                self.findings.append(Finding(fact, value, source))
                return value
        raise ModelNotUsable(f"{fact} cannot be found out: {advice}")


def read_toml(path: Path) -> ModelToml:
    """`model.toml`, or its defaults where there is none.

    Raises:
        ModelNotUsable: not TOML, an unknown key or a wrong value; the text names it.
    """
    if not path.is_file():
        return ModelToml()
    try:
        return ModelToml.model_validate(tomllib.loads(path.read_text()))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ModelNotUsable(f"{path.name}, {key}: {first['msg']}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelNotUsable(f"{path.name} is not TOML: {error}") from error


def find_out(name: str, version: str, folder: Path, toml: ModelToml,
             inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> ModelSpec:
    """Decide every fact of a model from its files.

    Raises:
        ModelNotUsable: a fact cannot be found out, or two contradict each other.
    """
    facts = Facts()
    input_spec = _input_spec(facts, toml.input, _image_input(toml.input, inputs))
    task = facts.pick("task", (MODEL_TOML, toml.task), (ONNX_SHAPES, _task_of(outputs)),
                      advice='add task = "image-classification" to model.toml')
    classes = _classes(outputs)
    labels = facts.pick("labels", (MODEL_TOML, toml.labels), (LABELS_TXT, _labels_txt(folder)),
                        ("numbered", _numbered(classes)), advice=f"add labels to model.toml or a {LABELS_TXT}")
    activation = facts.pick("activation", (MODEL_TOML, toml.output.activation), (DEFAULT, "softmax"))
    _check_labels(labels, classes)
    return ModelSpec(name, version, task, tuple(labels), activation, input_spec, tuple(facts.findings))


def _input_spec(facts: Facts, table: InputTable, image: TensorInfo) -> InputSpec:
    layout = facts.pick("layout", (MODEL_TOML, table.layout), (ONNX_SHAPES, _layout_of(image)),
                        advice='add layout = "NCHW" below [input] in model.toml')
    color = facts.pick("color", (MODEL_TOML, table.color), (ONNX_SHAPES, _color_of(image, layout)),
                       (DEFAULT, "RGB"))
    channels = CHANNELS[color]
    size = facts.pick("size", (MODEL_TOML, _size_of_table(table)), (ONNX_SHAPES, _size_of(image, layout)),
                      advice="add size = 224 below [input] in model.toml")
    return InputSpec(
        name=image.name, size=size, layout=layout, color=color,
        resize=facts.pick("resize", (MODEL_TOML, table.resize), (DEFAULT, "stretch")),
        scale=facts.pick("scale", (MODEL_TOML, table.scale), (DEFAULT, 1 / 255)),
        mean=_per_channel("mean", facts.pick("mean", (MODEL_TOML, table.mean), (DEFAULT, (0.0,))), channels),
        std=_per_channel("std", facts.pick("std", (MODEL_TOML, table.std), (DEFAULT, (1.0,))), channels),
    )


def providers_of(toml: ModelToml) -> tuple[str, ...]:
    return toml.providers or (CPU,)


def threads_of(toml: ModelToml) -> int:
    return toml.threads or 1


def _image_input(table: InputTable, inputs: Sequence[TensorInfo]) -> TensorInfo:
    named = [item for item in inputs if table.name in (None, item.name)]
    if len(named) != 1 or len(named[0].shape) != 4:
        listed = ", ".join(f"{item.name} {list(item.shape)}" for item in inputs)
        raise ModelNotUsable(f"one input of four dimensions takes the image; this model has: {listed}")
    if named[0].datatype != "FP32":
        raise ModelNotUsable(f"the input's type is {named[0].datatype}; FP32 is served")
    return named[0]


def _layout_of(image: TensorInfo) -> Layout | None:
    if image.shape[1] in (1, 3):
        return "NCHW"
    return "NHWC" if image.shape[3] in (1, 3) else None


def _color_of(image: TensorInfo, layout: Layout) -> Color | None:
    return "L" if image.shape[1 if layout == "NCHW" else 3] == 1 else None


def _size_of_table(table: InputTable) -> Size | None:
    if isinstance(table.size, SizeTable):
        return table.size.width, table.size.height
    return None if table.size is None else (table.size, table.size)


def _size_of(image: TensorInfo, layout: Layout) -> Size | None:
    height, width = image.shape[2:4] if layout == "NCHW" else image.shape[1:3]
    if not (isinstance(width, int) and isinstance(height, int)):
        return None
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ModelNotUsable(f"the input is {width}x{height} pixels; 1 to {MAX_SIDE} a side are served")
    return width, height


def _per_channel(fact: str, values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) not in (1, channels) or (fact == "std" and 0 in values):
        raise ModelNotUsable(f"model.toml, input.{fact}: one number, or one for each of {channels} channels"
                             + (", none of them 0" if fact == "std" else ""))
    return values * channels if len(values) == 1 else values


def _task_of(outputs: Sequence[TensorInfo]) -> str | None:
    return "image-classification" if len(outputs) == 1 and len(outputs[0].shape) == 2 else None


def _classes(outputs: Sequence[TensorInfo]) -> int | None:
    last = outputs[0].shape[-1] if outputs and outputs[0].shape else None
    return last if isinstance(last, int) else None


def _labels_txt(folder: Path) -> tuple[str, ...] | None:
    path = folder / LABELS_TXT
    try:
        return tuple(path.read_text("utf-8").splitlines()) if path.is_file() else None
    except UnicodeDecodeError as error:
        raise ModelNotUsable(f"{LABELS_TXT} is not UTF-8: save it as UTF-8") from error


def _numbered(classes: int | None) -> tuple[str, ...] | None:
    return None if classes is None else tuple(str(number) for number in range(classes))


def _check_labels(labels: Sequence[str], classes: int | None) -> None:
    if classes is not None and len(labels) != classes:
        raise ModelNotUsable(f"{len(labels)} labels for {classes} classes: "
                             f"give exactly one label a class in model.toml or {LABELS_TXT}")
