"""What is known of a model that is served, for who does not hold it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from inference.errors import BadParameter
from inference.geometry import place, rounded_up
from inference.parameters import parameters_of
from inference.spec import ModelSpec, Size, TensorInfo, TilingSpec
from inference.tiling import OVERLAP_SHARE, Tiles, cut

USUAL_SIDE = 256  # pixels of the first image's side, for a model that takes any size


@dataclass(frozen=True)
class ModelInfo:
    """These facts are enough to check a request, and to predict what it will take.

    `fingerprint` is the digest of the model's files. `run_ms` is what an image of the model's own size takes, without
    decoding it, as the warm-up measured it. `on_device` says that the model does not run on the CPU, `one_thread` that
    it runs in its caller's thread and so survives a fork.
    """

    spec: ModelSpec
    fingerprint: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    has_hooks: bool = False
    preprocesses: bool = False  # one of its hooks is `preprocess`
    run_ms: float = 0.0
    on_device: bool = False
    one_thread: bool = True

    @property
    def can_tile(self) -> bool:
        return "tile" in parameters_of(self.spec).model_fields and not self.has_hooks

    def parameters(self, given: Mapping[str, Any]) -> BaseModel:
        """Check what a caller gave for the model's task.

        Raises:
            BadParameter: a parameter is unknown or malformed; the text names it.
        """
        kind = parameters_of(self.spec)
        try:
            parameters = kind.model_validate(given)
        except ValidationError as error:
            raise BadParameter(_parameter_problem(error, kind)) from error
        if getattr(parameters, "tile", None) and not self.can_tile:
            raise BadParameter("parameter 'tile': a model with hooks.py is not cut into tiles")
        return parameters

    def tiles(self, image_size: Size, parameters: BaseModel) -> Tiles | None:
        """The tiles that an image is cut into, None where it is taken whole."""
        wanted = _tiling(self.spec, getattr(parameters, "tile", None)) if self.can_tile else None
        if wanted is None or (image_size[0] <= wanted.tile[0] and image_size[1] <= wanted.tile[1]):
            return None
        return cut(image_size, wanted.tile, wanted.overlap)

    def decoded_size(self, image_size: Size, parameters: BaseModel) -> Size | None:
        """The size that an image will be shrunk to, None where all its pixels count: what its decoding depends on.

        Without antialiasing single pixels are picked, which decoding at a reduced scale would have blended already.
        """
        picks = self.spec.input.resample == "linear"
        if self.preprocesses or picks or self.tiles(image_size, parameters) is not None:
            return None
        return place(image_size, self.spec.input).whole_size

    def runs(self, image_size: Size, parameters: BaseModel) -> float:
        """How many times the work of the warm-up an image is: tiles, or pixels where the model takes any size."""
        tiles = self.tiles(image_size, parameters)
        wanted = self.spec.input
        one = (place(image_size, wanted) if tiles is None else next(tiles.placements(wanted))).input_size
        usual = warm_up_size(self.spec)
        return (len(tiles) if tiles else 1) * one[0] * one[1] / (usual[0] * usual[1])

    def to_json(self) -> dict[str, Any]:
        """The same as a dict of what JSON has a form for."""
        return _JSON.dump_python(self, mode="json")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ModelInfo":
        """What `to_json` gave, also after JSON made lists of tuples.

        Raises:
            pydantic.ValidationError: another release wrote it.
        """
        return _JSON.validate_python(values)


_JSON = TypeAdapter(ModelInfo)


def warm_up_size(spec: ModelSpec) -> Size:
    """What the model takes in one run; for one that takes any size, a usual one."""
    if spec.input.size is not None:
        return spec.input.size
    side = spec.input.shortest_edge or USUAL_SIDE
    return spec.tiling.tile if spec.tiling else (side, side)


def _tiling(spec: ModelSpec, asked: int | None) -> TilingSpec | None:
    """A caller's `tile` (pixels a side, 0 for none) beats the model's; it is rounded up to a size the model takes."""
    if asked is None:
        return spec.tiling
    tile = rounded_up((asked, asked), spec.input.multiple_of) if spec.input.size is None else (asked, asked)
    return TilingSpec(tile, tile[0] // OVERLAP_SHARE, spec.tiling.batch if spec.tiling else 1) if asked else None


def _parameter_problem(error: ValidationError, kind: type[BaseModel]) -> str:
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown parameter '{name}'; this task takes {', '.join(kind.model_fields) or 'no parameters'}"
    return f"parameter '{name}': {first['msg']}"
