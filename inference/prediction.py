"""One prediction: decode, then batch after batch of tiles (one batch where the image is taken whole), then the result.

The batches do not depend on each other. Who calls `predict` chooses in which threads they run.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from pydantic import BaseModel

from inference.call_off import CallOff
from inference.errors import InferenceError, InferenceFailed
from inference.geometry import Placement, place
from inference.image import OpenedImage, Pixels, decode
from inference.image_info import ImageInfo
from inference.model import LoadedModel
from inference.tiling import Tiles

PHASES = ("decode", "preprocess", "inference", "postprocess")
Phases = dict[str, float]  # milliseconds on the wall
Check = Callable[[], None]
DecodeLimit = Callable[[Check], AbstractContextManager[Check]]  # gives a check that ends decoding in time, too
Progress = Callable[[int, int], None]  # tiles done, tiles in all


@dataclass(frozen=True)
class Batch:
    """What was read from one run: a value for each tile, where each lies, and the milliseconds of its phases."""

    values: list[tuple[Placement, Any]]
    phases_ms: Phases


RunAll = Callable[[Iterable[Callable[[], Batch]]], Iterator[Batch]]  # runs each call, gives what they return in order


@dataclass(frozen=True)
class Prediction:
    """A result with where its time went: `timings_ms` on the wall, `core_ms` ("decode", "run") of a core."""

    image: ImageInfo
    result: dict
    timings_ms: Phases
    core_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Clocks:
    """Seconds on the wall, and of the cores that this process used. A process makes one prediction at a time."""

    wall_s: float
    core_s: float

    @classmethod
    def now(cls) -> "_Clocks":
        return cls(time.perf_counter(), time.process_time())

    def since(self, before: "_Clocks") -> tuple[float, float]:
        """Milliseconds on the wall and of the cores."""
        return (self.wall_s - before.wall_s) * 1000, (self.core_s - before.core_s) * 1000


def one_by_one(calls: Iterable[Callable[[], Batch]]) -> Iterator[Batch]:
    """Run each call in the caller's thread, when its turn comes."""
    return (call() for call in calls)


def unheard(done: int, total: int) -> None:
    """A progress that nobody follows."""


def predict(model: LoadedModel, image: OpenedImage, parameters: BaseModel, call_off: CallOff | None = None,
            progress: Progress = unheard, run_all: RunAll = one_by_one,
            decode_limit: DecodeLimit = nullcontext) -> Prediction:
    """Predict one image, which is used up; `progress` is told of tiles.

    Raises:
        UnsupportedImage, InferenceFailed; the reason with which `call_off` was called; what `decode_limit` raises.
    """
    steps = _Steps(model, image, parameters, call_off or CallOff())
    began = _Clocks.now()
    with decode_limit(steps.call_off.check) as check:
        pixels = steps.decode(check)
    decoded = _Clocks.now()
    result, phases_ms = steps.result(pixels, progress, run_all)
    decode_ms, decode_core_ms = decoded.since(began)
    run_ms, run_core_ms = _Clocks.now().since(decoded)
    # A session with threads of its own, or on a device, is judged by the wall: its processor time tells little.
    core_ms = {"decode": decode_core_ms, "run": run_core_ms if model.info.one_thread else run_ms}
    return Prediction(image.info, result, {"decode": round(decode_ms, 3), **_fitted(phases_ms, run_ms)}, core_ms)


@dataclass(frozen=True)
class _Steps:
    model: LoadedModel
    image: OpenedImage
    parameters: BaseModel
    call_off: CallOff

    def decode(self, check: Check) -> Pixels:
        size = self.model.info.decoded_size(self.image.info.size, self.parameters)
        pixels = decode(self.image, size, check)
        self.call_off.check()
        return pixels

    def result(self, pixels: Pixels, progress: Progress, run_all: RunAll) -> tuple[dict, Phases]:
        try:
            tiles = self.model.info.tiles(self.image.info.size, self.parameters)
            return (self._whole(pixels, run_all) if tiles is None else
                    self._tiled(pixels, tiles, progress, run_all))
        except (InferenceError, MemoryError):
            raise
        except Exception as error:  # outputs of another form than the task expects, in whatever way that shows
            raise InferenceFailed(f"the outputs do not fit the task {self.model.spec.task}: {error}") from error

    def _whole(self, pixels: Pixels, run_all: RunAll) -> tuple[dict, Phases]:
        placement = place(self.image.info.size, self.model.spec.input)
        if self.model.hooks.postprocess is not None:
            return self._hooked(pixels, placement)
        [batch] = run_all([partial(self._batch, pixels, [placement])])
        [(_, value)] = batch.values
        return self._told(value), batch.phases_ms

    def _hooked(self, pixels: Pixels, placement: Placement) -> tuple[dict, Phases]:
        [outputs], phases_ms = self._outputs(pixels, [placement])
        hooks, spec = self.model.hooks, self.model.spec
        return hooks.result(outputs, spec, placement, self.parameters.model_dump()), phases_ms

    def _tiled(self, pixels: Pixels, tiles: Tiles, progress: Progress, run_all: RunAll) -> tuple[dict, Phases]:
        assert self.model.task.merge is not None
        phases_ms: Phases = {}
        calls = (partial(self._batch, pixels, batch) for batch in self._placements(tiles))
        values = _heard(run_all(calls), len(tiles), progress, phases_ms)
        merged = self.model.task.merge(values, tiles, self.model.spec, self.parameters)
        return self._told(merged), phases_ms

    def _placements(self, tiles: Tiles) -> Iterator[list[Placement]]:
        placements = tiles.placements(self.model.spec.input)
        while batch := list(islice(placements, self.model.batch)):
            yield batch

    def _batch(self, pixels: Pixels, placements: Sequence[Placement]) -> Batch:
        all_outputs, phases_ms = self._outputs(pixels, placements)
        since = time.perf_counter()
        values = [(placement, self.model.read(outputs, pixels, placement, self.parameters))
                  for placement, outputs in zip(placements, all_outputs, strict=True)]
        return Batch(values, phases_ms | {"postprocess": _since_ms(since)})

    def _outputs(self, pixels: Pixels, placements: Sequence[Placement]) -> tuple[list, Phases]:
        began = time.perf_counter()
        self.call_off.check()
        feeds = self.model.feeds(pixels, placements, self.parameters)
        self.call_off.check()
        fed = time.perf_counter()
        outputs = self.model.run(feeds, len(placements), self.call_off)
        self.call_off.check()
        return outputs, {"preprocess": (fed - began) * 1000, "inference": _since_ms(fed)}

    def _told(self, value: Any) -> dict:
        return self.model.task.result(value, self.model.spec, self.image.info.size, self.parameters)


def _heard(batches: Iterator[Batch], total: int, progress: Progress,
           phases_ms: Phases) -> Iterator[tuple[Placement, Any]]:
    """Each tile's value as the merge asks for it, so that no more than some batches are held; their times add up."""
    done = 0
    for batch in batches:
        for phase, ms in batch.phases_ms.items():
            phases_ms[phase] = phases_ms.get(phase, 0.0) + ms
        yield from batch.values
        done += len(batch.values)
        progress(done, total)


def _fitted(phases_ms: Phases, elapsed_ms: float) -> Phases:
    """The phases as shares of the time that passed: those of batches in several threads add up to more."""
    spent_ms = sum(phases_ms.values())
    factor = min(1.0, elapsed_ms / spent_ms) if spent_ms else 1.0
    fitted = {phase: phases_ms.get(phase, 0.0) * factor for phase in PHASES[1:]}
    fitted["postprocess"] += elapsed_ms - sum(fitted.values())
    return {phase: round(ms, 3) for phase, ms in fitted.items()}


def _since_ms(moment_s: float) -> float:
    return (time.perf_counter() - moment_s) * 1000
