"""Engine.predict: the one way from image bytes to a prediction, inline and in jobs alike."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ValidationError

from inference import repository, spec
from inference.cost import DecodeCost, encoded, fastest_ms, measure_decoding, synthetic_picture
from inference.errors import BadParameter, InferenceError, InferenceFailed, ModelNotFound, ModelNotUsable
from inference.image import ImageInfo, OpenedImage, decode, open_image
from inference.repository import ModelFiles
from inference.session import CPU, Session
from inference.spec import InputSpec, ModelSpec, ModelToml
from inference.tasks import TASKS, Task
from inference.transforms import RESIZERS, normalise, to_planes

log = logging.getLogger(__name__)
State = Literal["loading", "ready", "failed"]


@dataclass(frozen=True)
class Prediction:
    """A result with where its time went. `timings_ms` has decode, preprocess, inference, postprocess."""

    model_type: str
    model_version: str
    image: ImageInfo
    result: dict
    timings_ms: dict[str, float]

    def to_dict(self) -> dict:
        return {"model_type": self.model_type, "model_version": self.model_version,
                "image": self.image.to_dict(), "result": self.result, "timings_ms": self.timings_ms}


@dataclass(frozen=True)
class LoadedModel:
    """A model that can predict. `run_ms` is its whole prediction of a small picture, measured at warm-up."""

    spec: ModelSpec
    session: Session
    task: Task
    run_ms: float = 0.0


@dataclass(frozen=True)
class ModelEntry:
    """A model as `GET /models` lists it."""

    files: ModelFiles
    state: State
    reason: str = ""
    model: LoadedModel | None = None


class Engine:
    """The served models. Loading is done by one thread; `predict` may be called from several."""

    def __init__(self, models_dir: Path, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._decode_cost = DecodeCost({})
        self._entries = {files.name: ModelEntry(files, "loading") for files in repository.scan(models_dir)}

    def load(self, before_fork: bool = False) -> None:
        """Load what is not loaded yet; with `before_fork` only models that survive one (one thread, on the CPU)."""
        for name, entry in self._entries.items():
            if entry.state == "loading":
                self._entries[name] = loaded = _loaded(entry, before_fork)
                if loaded.state == "failed":
                    log.warning("model %s cannot be served: %s", name, loaded.reason)

    def measure_decoding(self) -> None:
        """Learn what decoding costs on this machine; `predict_ms` needs it, `predict` does not."""
        self._decode_cost = measure_decoding()

    @property
    def entries(self) -> list[ModelEntry]:
        """All models of the repository, by name."""
        return list(self._entries.values())

    @property
    def loading(self) -> bool:
        return any(entry.state == "loading" for entry in self._entries.values())

    def entry(self, model_type: str) -> ModelEntry:
        """Raises ModelNotFound."""
        if model_type not in self._entries:
            names = ", ".join(self._entries) or "none"
            raise ModelNotFound(f"no model '{model_type}'; there is: {names}")
        return self._entries[model_type]

    def model(self, model_type: str) -> LoadedModel:
        """Raises ModelNotFound, also for a model that is listed but cannot be served."""
        entry = self.entry(model_type)
        if entry.model is None:
            raise ModelNotFound(f"model '{model_type}' cannot be served: {entry.reason or entry.state}")
        return entry.model

    def parameters(self, model_type: str, given: Mapping[str, Any]) -> BaseModel:
        """Check what a caller gave for the model's task.

        Raises:
            BadParameter: unknown or malformed; the text names it.
        """
        try:
            return self.model(model_type).task.parameters.model_validate(given)
        except ValidationError as error:
            raise BadParameter(_parameter_problem(error, self.model(model_type).task)) from error

    def open(self, data: bytes) -> OpenedImage:
        """Read an image's header; raises UnsupportedImage, TooManyPixels."""
        return open_image(data, self._max_pixels)

    def predict_ms(self, model_type: str, info: ImageInfo) -> float:
        """What `predict` will take, from the header alone."""
        model = self.model(model_type)
        return model.run_ms + self._decode_cost.predict_ms(info, model.spec.input.size)

    def cost(self, model_type: str) -> dict:
        """What `predict_ms` knows, for `GET /models/<name>`."""
        return {"run_ms": self.model(model_type).run_ms,
                "decode_ms_per_megapixel": dict(self._decode_cost.ms_per_megapixel)}

    def predict(self, model_type: str, image: OpenedImage, parameters: BaseModel) -> Prediction:
        """Decode, preprocess, run, postprocess. The image is used up.

        Raises:
            ModelNotFound, UnsupportedImage, InferenceFailed.
        """
        return _predict(self.model(model_type), image, parameters)


def preprocess(image: Image.Image, wanted: InputSpec) -> NDArray:
    """An upright RGB image of any size -> the model's input, a batch of one."""
    resized = RESIZERS[wanted.resize](image, wanted.size)
    return normalise(to_planes(resized, wanted.color), wanted.scale, wanted.mean, wanted.std, wanted.layout)


def _predict(model: LoadedModel, image: OpenedImage, parameters: BaseModel) -> Prediction:
    start = time.perf_counter()
    pixels = decode(image, model.spec.input.size)
    decoded = time.perf_counter()
    batch = preprocess(pixels, model.spec.input)
    prepared = time.perf_counter()
    outputs = model.session.run({model.spec.input.name: batch})
    inferred = time.perf_counter()
    result = _to_result(model, outputs, image.info, parameters)
    phases = {"decode": decoded - start, "preprocess": prepared - decoded, "inference": inferred - prepared,
              "postprocess": time.perf_counter() - inferred}
    timings_ms = {phase: round(seconds * 1000, 3) for phase, seconds in phases.items()}
    return Prediction(model.spec.name, model.spec.version, image.info, result, timings_ms)


def _to_result(model: LoadedModel, outputs: list[NDArray], info: ImageInfo, parameters: BaseModel) -> dict:
    try:
        return model.task.to_result(outputs, model.spec, info, parameters)
    except Exception as error:  # outputs of another shape than the task expects, in whatever way that shows
        raise InferenceFailed(f"the outputs do not fit the task {model.spec.task}: {error}") from error


def _loaded(entry: ModelEntry, before_fork: bool) -> ModelEntry:
    files = entry.files
    try:
        if files.onnx is None:
            raise ModelNotUsable(files.reason)
        toml = spec.read_toml(files.folder / spec.MODEL_TOML)
        if before_fork and not _survives_fork(toml):
            return entry
        return ModelEntry(files, "ready", model=_load(files, files.onnx, toml))
    except InferenceError as error:
        return ModelEntry(files, "failed", reason=str(error))
    except Exception as error:  # whatever one model's files bring, the others serve
        return ModelEntry(files, "failed", reason=f"it cannot be loaded: {type(error).__name__}: {error}")


def _survives_fork(toml: ModelToml) -> bool:
    return spec.threads_of(toml) == 1 and spec.providers_of(toml) == (CPU,)


def _load(files: ModelFiles, onnx: Path, toml: ModelToml) -> LoadedModel:
    session = Session(onnx, spec.providers_of(toml), spec.threads_of(toml))
    model_spec = spec.find_out(files.name, files.version, files.folder, toml, session.inputs, session.outputs)
    if model_spec.task not in TASKS:
        raise ModelNotUsable(f"task '{model_spec.task}' is not served; there is: {', '.join(TASKS)}")
    model = LoadedModel(model_spec, session, TASKS[model_spec.task])
    return LoadedModel(model.spec, model.session, model.task, _warm_up(model))


def _warm_up(model: LoadedModel) -> float:
    """Milliseconds of a prediction of a picture of the model's own size; also proves that it can predict."""
    width, height = model.spec.input.size
    data = encoded(synthetic_picture((width, height)), "JPEG", quality=90)
    parameters = model.task.parameters()
    return fastest_ms(lambda: _predict(model, open_image(data, width * height), parameters))


def _parameter_problem(error: ValidationError, task: Task) -> str:
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown parameter '{name}'; this task takes {', '.join(task.parameters.model_fields)}"
    return f"parameter '{name}': {first['msg']}"
