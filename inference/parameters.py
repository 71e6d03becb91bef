"""What a caller may ask of each task: a pydantic model with a field for each parameter."""

import functools
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationInfo, create_model, field_validator
from pydantic_core import PydanticCustomError

from inference.model_toml import TaskName
from inference.spec import CallerParameter, ModelSpec

MAX_CLASSES, MAX_TILE = 1_000_000, 1_000_000
MAX_BOXES, MAX_MERGED = 300, 10_000  # boxes of one run, as Ultralytics (max_det), and of all tiles of an image


class Asked(BaseModel):
    """What a caller may ask for, as text or as values of JSON. Python's True is 1; who sends true means no number."""

    model_config = ConfigDict(frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, field: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(field.field_name)].annotation
        kinds = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
            raise PydanticCustomError("no_number", "Input should be a number, not true or false")
        return value


class Parameters(Asked):
    """No task takes a parameter that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TiledParameters(Parameters):
    """A caller may ask any task whose tiles can be merged for tiles of `tile` pixels a side, or with 0 for none."""

    tile: int | None = Field(None, ge=0, le=MAX_TILE)


class ClassificationParameters(TiledParameters):
    """A caller may ask for at most `top_k` predictions, each with a score of at least `threshold`; 0 asks for any."""

    top_k: int = Field(5, ge=1, le=MAX_CLASSES)
    threshold: float = Field(0, ge=0, le=1)


class DetectionParameters(TiledParameters):
    """A caller may ask for at most `top_k` boxes with a score of at least `threshold`, of which no two of a class
    overlap by more than `iou`. None stands for the model's own value; for `top_k` that is 300, and 300 a tile.
    """

    threshold: float | None = Field(None, ge=0, le=1)
    iou: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=1, le=MAX_MERGED)


class InstanceParameters(DetectionParameters):
    """They are those of a detection, with fewer objects: each brings a mask as large as the image."""

    top_k: int | None = Field(100, ge=1, le=MAX_BOXES)


class SegmentationParameters(TiledParameters):
    """A caller may ask for segments whose mean score is at least `threshold`. Class maps bear no scores."""

    threshold: float = Field(0, ge=0, le=1)


class MaskQueryParameters(Parameters):
    """A caller may ask for segments with a score of at least `threshold`. None stands for the model's own value."""

    threshold: float | None = Field(None, ge=0, le=1)


class HeatmapParameters(Parameters):
    """A caller may ask for keypoints whose mean score is at least `threshold`; None stands for the model's own."""

    threshold: float | None = Field(None, ge=0, le=1)


class FeatureParameters(TiledParameters):
    """A caller may ask for a vector of length 1, or for the model's own. None leaves it to `output.normalize`."""

    normalize: bool | None = None


class ImageToImageParameters(TiledParameters):
    """A caller may ask for nothing but tiles."""


class DepthParameters(Parameters):
    """A caller may ask for nothing: the depths of tiles do not fit together."""


class TensorParameters(Parameters):
    """A caller may ask for only some of the `outputs`, by name, separated by commas."""

    outputs: str | None = None


PARAMETERS: Mapping[TaskName, type[Parameters]] = {
    "image-classification": ClassificationParameters, "object-detection": DetectionParameters,
    "keypoint-detection": DetectionParameters,
    "image-segmentation": SegmentationParameters, "image-feature-extraction": FeatureParameters,
    "depth-estimation": DepthParameters,
    "image-to-image": ImageToImageParameters, "tensor": TensorParameters}


def parameters_of(spec: ModelSpec) -> type[Parameters]:
    """What a caller may ask of a model: what its task takes, and what it takes of its own."""
    kind = task_parameters(spec)
    own = tuple((parameter, _TYPES[type(parameter.default)]) for parameter in spec.parameters)
    return _with_own(kind, own) if own else kind


def task_parameters(spec: ModelSpec) -> type[Parameters]:
    """What a caller may ask of a model's task."""
    if spec.has_mask_queries:
        return MaskQueryParameters
    if "heatmaps" in spec.output.names:
        return HeatmapParameters
    return InstanceParameters if spec.tells_objects else PARAMETERS[spec.task]


@functools.cache
def _with_own(kind: type[Parameters], own: tuple[tuple[CallerParameter, Any], ...]) -> type[Parameters]:
    """The types are part of what is remembered, as 1, 1.0 and True are equal."""
    fields: dict[str, Any] = {parameter.name: (type_, _field(parameter)) for parameter, type_ in own}
    return create_model(kind.__name__, __base__=kind, **fields)


_TYPES: Mapping[type, Any] = {bool: bool, int: int, float: FiniteFloat}


def _field(parameter: CallerParameter) -> Any:
    if isinstance(parameter.default, bool):
        return Field(parameter.default)
    return Field(parameter.default, ge=parameter.minimum, le=parameter.maximum)
