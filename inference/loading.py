"""A model's files -> a model that can predict, proven on a synthetic picture."""

from dataclasses import replace

from inference.errors import InferenceError, ModelNotUsable
from inference.findings import find_out, providers_of, threads_of
from inference.findings.sources import DEFAULT
from inference.hooks import HOOKS_PY, read_hooks
from inference.image import open_image
from inference.measuring import encoded, synthetic_picture
from inference.model import LoadedModel, warm_up_size
from inference.model_toml import MODEL_TOML, read_toml
from inference.repository import ModelFiles
from inference.session import CPU, Session
from inference.spec import Finding, ModelSpec
from inference.tasks import classification, task_of

MAX_WARM_UP_PIXELS = 1 << 26
WARM_UPS, ENOUGH_MS = 3, 1000  # a slow model runs once
SUM_TO_1 = "the scores sum to 1"
TOLERANCE = 2e-3  # of a sum of a thousand scores with 6 digits


def load(files: ModelFiles) -> LoadedModel:
    """Read, find out, load, warm up.

    Raises:
        ModelNotUsable: what is wrong with the files, in one sentence with what to do.
        FileNotFoundError: they were moved or removed in this moment.
    """
    if files.onnx is None:
        raise ModelNotUsable(files.reason)
    toml = read_toml(files.folder / MODEL_TOML)
    hooks = read_hooks(files.folder / HOOKS_PY)
    session = Session(files.onnx, providers_of(toml), threads_of(toml))
    spec = find_out(files.name, files.version, files.folder, toml, session.interface, hooks.postprocess is not None)
    model = LoadedModel(spec, session, task_of(spec), hooks, mark=files.mark)
    try:
        model = _without_second_softmax(model)
        return replace(model, run_ms=_warm_up(model))
    except InferenceError as error:
        raise ModelNotUsable(f"it cannot predict a test picture: {error}") from error


def reason_of(error: Exception) -> str:
    """Whatever one model's files bring, for its `reason`."""
    if isinstance(error, ModelNotUsable):
        return str(error)
    if isinstance(error, OSError):
        return f"its files cannot be read: {error.strerror}: let the service's user read them"
    return f"it cannot be loaded: {type(error).__name__}: {error}"


def survives_fork(files: ModelFiles) -> bool:
    """Whether a model may be loaded before a fork: one thread, on the CPU. A faulty file is told by `load`."""
    try:
        toml = read_toml(files.folder / MODEL_TOML)
    except (ModelNotUsable, OSError):
        return True
    return threads_of(toml) == 1 and providers_of(toml) == (CPU,)


def _warm_up(model: LoadedModel) -> float:
    """Milliseconds of a core for a picture of the model's own size, without decoding it: the least of some runs."""
    data, parameters = _test_picture(model.spec), model.parameters({})
    found: list[float] = []
    while len(found) < WARM_UPS and sum(found) < ENOUGH_MS:
        spent_ms = model.predict(open_image(data, MAX_WARM_UP_PIXELS), parameters).core_ms
        found.append(sum(spent_ms.values()) - spent_ms["decode"])
    return min(found)


def _test_picture(spec: ModelSpec) -> bytes:
    return encoded(synthetic_picture(warm_up_size(spec)), "JPEG", quality=90)


def _without_second_softmax(model: LoadedModel) -> LoadedModel:
    """Keras ends in a softmax, PyTorch in logits: where no source tells, scores from 0 on that sum to 1 do."""
    spec = model.spec
    assumed = Finding("activation", "softmax", DEFAULT)
    if spec.task != classification.NAME or assumed not in spec.findings:
        return model
    found = tuple(Finding("activation", "none", SUM_TO_1) if finding == assumed else finding
                  for finding in spec.findings)
    plain = replace(model, spec=replace(spec, output=replace(spec.output, activation="none"), findings=found))
    image = open_image(_test_picture(spec), MAX_WARM_UP_PIXELS)
    scores = plain.predict(image, model.parameters({"top_k": len(spec.labels)})).result["predictions"]
    total = sum(prediction["score"] for prediction in scores)  # a prediction below 0 is not among them
    return plain if len(scores) == len(spec.labels) > 1 and abs(total - 1) < TOLERANCE else model
