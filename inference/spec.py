"""What is known of a model before it runs, as plain values. The package `findings` finds it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.model_toml import (
    Activation,
    Anchor,
    Background,
    Boxes,
    Color,
    Columns,
    Combined,
    Interpolation,
    Layout,
    Mirror,
    Nms,
    Point,
    Resample,
    Resize,
    Rounding,
    TaskName,
    Units,
)
from inference.onnx_graph import PYTORCH, TF2ONNX, Graph

CLASS_COLUMNS: tuple[Columns, ...] = ("box score class", "batch box class score", "batch box score class")
Size = tuple[int, int]  # width, height in pixels
Fill = tuple[float, float, float] | Mirror  # red, green, blue from 0 to 255, or the image itself
CHANNELS: dict[Color, int] = {"RGB": 3, "BGR": 3, "L": 1, "Y": 1}
MAPS = "sequence of maps"  # the datatype of an output that is no tensor, but a map from labels to scores for each image
# Their results are images, or mark something on one (drawing/ knows how).
DRAWABLE_TASKS: tuple[TaskName, ...] = ("image-classification", "object-detection", "keypoint-detection",
                                        "image-segmentation", "depth-estimation", "image-to-image")


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a model. A dimension is a number, or a name or None where the model leaves it open."""

    name: str
    shape: tuple[int | str | None, ...]
    datatype: str

    def to_dict(self) -> dict:
        return {"name": self.name, "shape": list(self.shape), "datatype": self.datatype}


@dataclass(frozen=True)
class Interface:
    """What an ONNX file says of itself: its inputs, outputs and operators, and what its exporter wrote of itself."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    producer: str = ""
    graph: Graph = field(default_factory=Graph)

    @property
    def exporter(self) -> str:
        """The producer, unless that is a tool that changed the file and wrote its own name (onnx.quantize)."""
        return self.producer if self.producer in (PYTORCH, TF2ONNX) else self.graph.exporter or self.producer


@dataclass(frozen=True)
class Finding:
    """One decision about a model, for `GET /models/<name>`. `fact` is the key of model.toml that overrides it."""

    fact: str
    value: Any
    source: str

    def to_dict(self) -> dict:
        return {"fact": self.fact, "value": self.value, "source": self.source}


@dataclass(frozen=True)
class InputSpec:
    """How pixels become the model's image input, (pixel * scale - mean) / std per channel.

    `size` is None where the model takes any: the image keeps its own, or `shortest_edge` and `longest_edge` bound it
    ("fit"). With "closest", too, each image has sides of its own, and `size` is what they come close to. Where a
    letterbox has a `multiple_of`, its image fits into `size` and is filled up to multiples alone, so that each image
    has a rectangle of its own. `batch` is the number of images that one run takes, None where the model leaves it open;
    an input that is not `batched` has no axis for it.
    `anchor` and `rounding` are None for what is usual with `resize`: `rounding` is how the sides of a letterboxed image
    become whole pixels, and those of a "fit" or "closest" one multiples. A `margin` surrounds a "closest" image,
    and one in a letterbox by that share of its sides.
    """

    name: str
    size: Size | None
    datatype: str = "FP32"
    batch: int | None = None
    layout: Layout = "NCHW"
    color: Color = "RGB"
    resize: Resize = "stretch"
    shortest_edge: int | None = None
    longest_edge: int | None = None
    anchor: Anchor | None = None
    rounding: Rounding | None = None
    margin: float = 0.0
    fill: Fill = (114, 114, 114)
    resample: Resample = "bilinear"
    multiple_of: int = 1
    scale: float = 1 / 255
    crop_down: bool = False  # Hugging Face rounds the crop's corner down, torchvision to the nearest
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    batched: bool = True

    @property
    def in_rectangles(self) -> bool:
        """Whether each image has an input of its own sides, the smallest that its letterbox needs."""
        return self.resize == "letterbox" and self.size is not None and self.multiple_of > 1

    @property
    def fixed_size(self) -> Size | None:
        """Width and height of the input where they are those of every image."""
        return None if self.in_rectangles or self.resize == "closest" else self.size


@dataclass(frozen=True)
class OutputSpec:
    """What the model's numbers mean; each task reads the fields that concern it.

    `names` maps a role ("boxes", "scores", "classes", "objectness", "masks", "depth", "keypoints", "keypoint_scores",
    "heatmaps", "queries", "embedding", "image") to an output; one of `stacks` to that many outputs, one a stride, which
    are laid one behind the other under the name that `names` has (`boxes/stacks.py`). Distances from a cell count from
    its `point`; each of a "dfl" box is told by `bins` numbers. `keypoints` is how many of them a row has, and of how
    many numbers each is: x, y and maybe a score. The rows of an `oriented` detector end with an angle.
    `combined` is how an objectness and a class's score make the score of a box.
    `range` is the pair of values that stand for black and white in a produced image, or for 0 and 1 in a classifier's
    whole numbers. `interpolation` is how a depth for
    each pixel is made of the model's grid.
    """

    names: Mapping[str, str]
    activation: Activation = "none"
    columns: Columns | None = None
    boxes: Boxes = "xyxy"
    units: Units = "pixels"
    background: Background = "none"
    strides: tuple[int, ...] = ()
    stacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    point: Point = "center"
    bins: int = 0
    combined: Combined = "product"
    keypoints: tuple[int, int] | None = None
    keypoint_labels: tuple[str, ...] = ()
    oriented: bool = False
    nms: Nms = "per-class"
    threshold: float = 0.25
    iou: float = 0.7
    normalize: bool = False
    range: tuple[float, float] = (0.0, 1.0)
    interpolation: Interpolation = "bicubic"

    @property
    def tells_objects(self) -> bool:
        """Whether a segmenter's outputs tell objects, each with a box and a mask, and not the class of every pixel."""
        return self.columns is not None or {"boxes", "scores", "masks"} <= self.names.keys()  # or torchvision's

    @property
    def names_classes(self) -> bool:
        """Whether a detector's rows name their class by its number, instead of a score for each."""
        return self.columns in CLASS_COLUMNS or "classes" in self.names


@dataclass(frozen=True)
class TilingSpec:
    """Tiles of `tile` pixels that overlap by `overlap`, `batch` of them in one run."""

    tile: Size
    overlap: int
    batch: int


@dataclass(frozen=True)
class CallerParameter:
    """A number that a caller may set in a request: the value of a further `input` of the model, or, where that is "",
    what hooks.py reads by `name`. A bool as `default` takes true and false, a whole number only whole ones."""

    name: str
    input: str
    default: bool | int | float
    minimum: float | None = None
    maximum: float | None = None

    def to_dict(self) -> dict:
        return {"name": self.name, "default": self.default, "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True)
class ModelSpec:
    """Everything that is decided about a model before it runs; `warnings` name what was assumed, or looks wrong."""

    name: str
    version: str
    task: TaskName
    labels: tuple[str, ...]
    input: InputSpec
    output: OutputSpec
    tiling: TilingSpec | None = None
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()
    parameters: tuple[CallerParameter, ...] = ()

    @property
    def tells_objects(self) -> bool:
        """Whether a segmenter tells objects, each with a box and a mask, and not the class of every pixel."""
        return self.task == "image-segmentation" and self.output.tells_objects

    @property
    def has_mask_queries(self) -> bool:
        """Whether a segmenter tells segments, each by a query with a mask and the scores of its classes."""
        return self.task == "image-segmentation" and "queries" in self.output.names
