"""A loaded model and the steps of its prediction: decode, preprocess, run, read, for a whole image or its tiles."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from inference import tiling
from inference.errors import BadParameter, InferenceError, InferenceFailed
from inference.findings.sources.onnx_inputs import PIXEL_MASK
from inference.geometry import Placement, place, rounded_up
from inference.hooks import Hooks
from inference.image import ImageInfo, OpenedImage, Pixels, decode
from inference.runner import Runner, runner
from inference.session import Session
from inference.spec import ModelSpec, Size, TilingSpec
from inference.stop import Stop
from inference.tasks import Outputs, Task
from inference.tiling import Tiles
from inference.transforms import look, to_array

Progress = Callable[[int, int], None]  # tiles done, tiles in all
PHASES = ("decode", "preprocess", "inference", "postprocess")
USUAL_SIDE = 256  # pixels: of the first picture for a model that takes any size


@dataclass
class Stopwatch:
    """Adds up where the time goes, in milliseconds per phase: on the wall, and of a core. The latter does not grow
    where other work holds a thread up; `elsewhere` says that the model runs in threads of its own, or on a device.
    Between two phases is where a prediction can be stopped."""

    stop: Stop = field(default_factory=Stop)
    elsewhere: bool = False
    runner: Runner = field(default_factory=runner.get)
    phases_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    core_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    since: float = field(default_factory=time.perf_counter)
    core_since: float = field(init=False)

    def __post_init__(self) -> None:
        self.core_since = self.runner.core_s()

    def lap(self, phase: str) -> None:
        """The time since the last lap went into `phase`. Raises the reason where the prediction is to stop."""
        self.stop.check()
        now, core_now = time.perf_counter(), self.runner.core_s()
        spent_ms = (now - self.since) * 1000
        self.phases_ms[phase] += spent_ms
        in_elsewhere = self.elsewhere and phase == "inference"
        self.core_ms[phase] += spent_ms if in_elsewhere else (core_now - self.core_since) * 1000
        self.since, self.core_since = now, core_now


@dataclass(frozen=True)
class Prediction:
    """A result with where its time went: decode, preprocess, inference, postprocess; `core_ms` is what they kept a
    core busy."""

    model_type: str
    model_version: str
    image: ImageInfo
    result: dict
    timings_ms: dict[str, float]
    core_ms: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict:
        return {"model_type": self.model_type, "model_version": self.model_version,
                "image": self.image.to_dict(), "result": self.result, "timings_ms": self.timings_ms}


def unheard(done: int, total: int) -> None:
    """A progress that nobody follows."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that can predict. `run_ms` is what a picture of its own size takes without decoding it, measured
    at warm-up; `mark` tells the files it was loaded from."""

    spec: ModelSpec
    session: Session
    task: Task
    hooks: Hooks
    run_ms: float = 0.0
    mark: str = ""

    @property
    def can_tile(self) -> bool:
        return self.task.merge is not None and not self.hooks

    def parameters(self, given: Mapping[str, Any]) -> BaseModel:
        """Check what a caller gave for the model's task.

        Raises:
            BadParameter: unknown or malformed; the text names it.
        """
        try:
            parameters = self.task.parameters.model_validate(given)
        except ValidationError as error:
            raise BadParameter(_parameter_problem(error, self.task)) from error
        if getattr(parameters, "tile", None) and not self.can_tile:
            raise BadParameter("parameter 'tile': a model with hooks.py is not cut into tiles")
        return parameters

    def tiles(self, image_size: Size, parameters: BaseModel) -> Tiles | None:
        """The tiles that an image is cut into, None where it is taken whole."""
        wanted = _tiling(self.spec, getattr(parameters, "tile", None)) if self.can_tile else None
        if wanted is None or (image_size[0] <= wanted.tile[0] and image_size[1] <= wanted.tile[1]):
            return None
        return tiling.cut(image_size, wanted.tile, wanted.overlap)

    def decoded_size(self, image_size: Size, parameters: BaseModel) -> Size | None:
        """The size that an image will be shrunk to, None for its own: what its decoding depends on."""
        if self.hooks.preprocess is not None or self.tiles(image_size, parameters) is not None:
            return None
        return place(image_size, self.spec.input).whole_size

    def runs(self, image_size: Size, parameters: BaseModel) -> float:
        """How many times the work of the warm-up an image is: tiles, or pixels where the model takes any size."""
        tiles = self.tiles(image_size, parameters)
        if self.spec.input.size is not None:
            return 1.0 if tiles is None else float(len(tiles))
        one = tiles.tile if tiles else place(image_size, self.spec.input).input_size
        usual = warm_up_size(self.spec)
        return (len(tiles) if tiles else 1) * one[0] * one[1] / (usual[0] * usual[1])

    def predict(self, image: OpenedImage, parameters: BaseModel, progress: Progress = unheard,
                stop: Stop | None = None) -> Prediction:
        """Decode, preprocess, run, postprocess. The image is used up; `progress` is told of tiles.

        Raises:
            UnsupportedImage, InferenceFailed, Overdue; the reason with which `stop` was ended.
        """
        watch = Stopwatch(stop or Stop(), not self.session.in_callers_thread)
        result = self._result(image, parameters, watch, progress)
        timings_ms = {phase: round(spent_ms, 3) for phase, spent_ms in watch.phases_ms.items()}
        return Prediction(self.spec.name, self.spec.version, image.info, result, timings_ms, watch.core_ms)

    def _result(self, image: OpenedImage, parameters: BaseModel, watch: Stopwatch, progress: Progress) -> dict:
        tiles = self.tiles(image.info.size, parameters)
        pixels = watch.runner.run(partial(decode, image, self.decoded_size(image.info.size, parameters)))
        watch.lap("decode")
        try:
            result = (self._tiled(pixels, tiles, parameters, watch, progress) if tiles is not None else
                      watch.runner.run(partial(self._whole, pixels, image.info.size, parameters, watch)))
        except (InferenceError, MemoryError):
            raise
        except Exception as error:  # outputs of another form than the task expects, in whatever way that shows
            raise InferenceFailed(f"the outputs do not fit the task {self.spec.task}: {error}") from error
        watch.lap("postprocess")
        return result

    def _whole(self, pixels: Pixels, size: Size, parameters: BaseModel, watch: Stopwatch) -> dict:
        placement = place(size, self.spec.input)
        feeds = self._feeds(pixels, [placement])
        watch.lap("preprocess")
        [outputs] = self._run(feeds, 1, watch.stop)
        watch.lap("inference")
        if self.hooks.postprocess is not None:
            return self.hooks.result(outputs, self.spec, placement, parameters.model_dump())
        return self.task.result(self._read(outputs, pixels, placement, parameters), self.spec, size, parameters)

    def _tiled(self, pixels: Pixels, tiles: Tiles, parameters: BaseModel, watch: Stopwatch,
               progress: Progress) -> dict:
        assert self.task.merge is not None
        values = self._read_tiles(pixels, tiles, parameters, watch, progress)
        merged = self.task.merge(values, tiles, self.spec, parameters)
        return self.task.result(merged, self.spec, tiles.image_size, parameters)

    def _read_tiles(self, pixels: Pixels, tiles: Tiles, parameters: BaseModel, watch: Stopwatch,
                    progress: Progress) -> Iterator[tuple[Placement, Any]]:
        """Tile after tile as the merge asks for it, so that no more than a batch of them is held."""
        done, size = 0, self.spec.input.batch or (self.spec.tiling.batch if self.spec.tiling else 1)
        placements = tiles.placements(self.spec.input)
        while batch := list(islice(placements, size)):
            yield from watch.runner.run(partial(self._read_batch, pixels, batch, parameters, watch))
            done += len(batch)
            progress(done, len(tiles))

    def _read_batch(self, pixels: Pixels, batch: Sequence[Placement], parameters: BaseModel,
                    watch: Stopwatch) -> list[tuple[Placement, Any]]:
        watch.lap("postprocess")
        feeds = self._feeds(pixels, batch)
        watch.lap("preprocess")
        all_outputs = self._run(feeds, len(batch), watch.stop)
        watch.lap("inference")
        return [(placement, self._read(outputs, pixels, placement, parameters))
                for placement, outputs in zip(batch, all_outputs, strict=True)]

    def _feeds(self, pixels: Pixels, placements: Sequence[Placement]) -> dict[str, NDArray]:
        """Every input by name; the image's is filled up to the batch that the model takes."""
        if self.hooks.preprocess is not None:
            return {**self.spec.constants, **self.hooks.inputs(np.asarray(pixels.image), self.spec)}
        wanted = self.spec.input
        arrays = [to_array(look(pixels, placement, wanted), wanted) for placement in placements]
        arrays += [arrays[-1]] * ((wanted.batch or len(arrays)) - len(arrays))
        batch = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        return {**self._constants(batch), wanted.name: batch}

    def _constants(self, batch: NDArray) -> dict[str, NDArray]:
        """The extra inputs: a row for each image where their rows are open, DETR's pixel_mask as large as the image."""
        height, width = batch.shape[2:] if self.spec.input.layout == "NCHW" else batch.shape[1:3]
        open_rows = {tensor.name for tensor in self.session.interface.inputs
                     if tensor.shape and not isinstance(tensor.shape[0], int)}
        return {name: np.full((len(batch), height, width), value) if name == PIXEL_MASK and value.ndim == 0
                else np.repeat(value, len(batch), axis=0) if name in open_rows and len(value) == 1 else value
                for name, value in self.spec.constants.items()}

    def _read(self, outputs: Outputs, pixels: Pixels, placement: Placement, parameters: BaseModel) -> Any:
        value = self.task.read(outputs, self.spec, placement, parameters)
        if self.task.with_picture is None:
            return value
        return self.task.with_picture(value, pixels.image, self.spec, placement)

    def _run(self, feeds: dict[str, NDArray], count: int, stop: Stop) -> list[Outputs]:
        """Each of `count` images' outputs, of a batch of one."""
        outputs = self.session.run(feeds, stop)
        batch = self.spec.input.batch or count
        if batch == 1:
            return [outputs]
        if any(value.shape[:1] != (batch,) for value in outputs.values()):
            raise InferenceFailed(f"of {batch} images in one run the outputs do not tell which is whose: export the "
                                  "model for one image, or write batch = 1 below [tiling] in model.toml")
        return [{name: value[index:index + 1] for name, value in outputs.items()} for index in range(count)]


def warm_up_size(spec: ModelSpec) -> Size:
    """What the model takes in one run; for one that takes any size, a usual one."""
    if spec.input.size is not None:
        return spec.input.size
    side = spec.input.shortest_edge or USUAL_SIDE
    return spec.tiling.tile if spec.tiling else (side, side)


def _tiling(spec: ModelSpec, asked: int | None) -> TilingSpec | None:
    """A caller's `tile` (pixels a side, 0 for none) beats the model's; one of a size that the model takes."""
    if asked is None:
        return spec.tiling
    tile = rounded_up((asked, asked), spec.input.multiple_of) if spec.input.size is None else (asked, asked)
    return TilingSpec(tile, tile[0] // tiling.OVERLAP_SHARE, spec.tiling.batch if spec.tiling else 1) if asked else None


def _parameter_problem(error: ValidationError, task: Task) -> str:
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = ", ".join(task.parameters.model_fields) or "no parameters"
        return f"unknown parameter '{name}'; this task takes {known}"
    return f"parameter '{name}': {first['msg']}"
