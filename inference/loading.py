"""A model's files -> a model that can predict. A trial proves it on test images; later loads take its word."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from inference import looking
from inference.calibration import encoded, synthetic_image
from inference.errors import InferenceError, ModelNotUsable
from inference.findings import Found, Incomplete, constants_of, find_out, providers_of, threads_of
from inference.findings.sources import HOOKS_PY
from inference.hooks import Hooks, read_hooks
from inference.image import open_image
from inference.library_texts import one_line
from inference.model import LoadedModel
from inference.model_info import ModelInfo, warm_up_size
from inference.model_toml import MODEL_TOML, ModelToml, read_toml
from inference.prediction import predict
from inference.repository import ModelFiles
from inference.session import CPU, Session
from inference.spec import ModelSpec
from inference.suspicions import suspicions
from inference.tasks import task_of

MAX_WARM_UP_PIXELS = 1 << 28
WARM_UPS, ENOUGH_MS = 3, 1000  # a slow model runs once
MOST_SAID = 200  # characters of an exception's text


def try_out(files: ModelFiles, fingerprint: str) -> LoadedModel:
    """Read, find out, load, and predict a synthetic image.

    Raises:
        ModelNotUsable: what is wrong with the files, in one sentence with what to do.
        FileNotFoundError: they were moved or removed in this moment.
    """
    threads_before = _threads()
    toml, hooks, session = _opened(files)
    try:
        found = find_out(files.name, files.version, files.folder, toml, session.interface,
                         hooks.postprocess is not None, hooks.preprocess is not None,
                         partial(looking.look, session, hooks))
    except Incomplete as error:
        raise ModelNotUsable(f"{error}{_beyond(error, session, hooks)}") from error
    model = _made(found, fingerprint, session, hooks, toml)
    try:
        spec = replace(model.spec, warnings=(*model.spec.warnings, *suspicions(model, found.answers)))
        info = replace(model.info, spec=spec, run_ms=warm_up(model))
    except (InferenceError, ValueError) as error:  # the latter from outputs of another form than the task expects
        raise ModelNotUsable(f"it cannot predict a test image: {error}") from error
    return replace(model, info=replace(info, one_thread=info.one_thread and _threads() <= threads_before))


def _made(found: Found, fingerprint: str, session: Session, hooks: Hooks, toml: ModelToml) -> LoadedModel:
    providers, threads = providers_of(toml), threads_of(toml)
    info = ModelInfo(
        found.spec, fingerprint, session.interface.inputs, session.interface.outputs, bool(hooks),
        hooks.preprocess is not None, on_device=providers != (CPU,), one_thread=threads == 1 and providers == (CPU,))
    return LoadedModel(info, session, task_of(info.spec), hooks, found.constants)


def _beyond(incomplete: Incomplete, session: Session, hooks: Hooks) -> str:
    """What hinders beside what is missing: the lines that are suggested are tried before."""
    if incomplete.suggested is None:
        return ""
    try:
        warm_up(_made(incomplete.suggested, "", session, hooks, ModelToml()))
    except InferenceError as error:
        return f"; besides, it cannot predict a test image so: {error}"
    return ""


def load(files: ModelFiles, tried: ModelInfo) -> LoadedModel:
    """Load a model without running it, as its trial found out that it is.

    Raises:
        ModelNotUsable, FileNotFoundError: as `try_out`.
    """
    toml, hooks, session = _opened(files)
    fed = constants_of(toml, session.interface, tried.spec, own_input=hooks.preprocess is not None)
    return LoadedModel(tried, session, task_of(tried.spec), hooks, fed)


def _opened(files: ModelFiles) -> tuple[ModelToml, Hooks, Session]:
    if files.onnx is None:
        raise ModelNotUsable(files.reason)
    toml = read_toml(files.folder / MODEL_TOML)
    hooks = read_hooks(files.folder / HOOKS_PY)
    return toml, hooks, Session(files.onnx, providers_of(toml), threads_of(toml))


def _threads() -> int:
    """Of this process, also those that native code started. What starts some when it is loaded or run, as a hooks.py
    may, cannot be forked."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def reason_of(error: Exception) -> str:
    """Whatever one model's files bring, for its `reason`."""
    if isinstance(error, ModelNotUsable):
        return str(error)
    if isinstance(error, OSError):
        return f"its files cannot be read: {error.strerror or error}: let the service's user read them"
    if isinstance(error, MemoryError):
        return "one prediction needs more memory than this machine has: write a smaller tile below [tiling] in " \
               "model.toml, or serve a smaller model"
    text = one_line(error)[:MOST_SAID]
    return f"it cannot be loaded, for a reason that was not foreseen{f' ({text})' * bool(text)}: export it again"


def warm_up(model: LoadedModel, runs: int = WARM_UPS) -> float:
    """Milliseconds of a core for an image of the model's own size, without decoding it: the least of some runs.

    Raises:
        InferenceError: the model cannot predict.
    """
    data, parameters = _test_image(model.spec), model.parameters({})
    found: list[float] = []
    while len(found) < runs and sum(found) < ENOUGH_MS:
        found.append(predict(model, open_image(data, MAX_WARM_UP_PIXELS), parameters).core_ms["run"])
    return min(found)


def _test_image(spec: ModelSpec) -> bytes:
    return encoded(synthetic_image(warm_up_size(spec)), "JPEG", quality=90)
