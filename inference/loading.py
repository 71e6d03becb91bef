"""A model's files -> a model that can predict. A trial proves it on a synthetic image; later loads take its word."""

from dataclasses import replace

from inference.calibration import encoded, synthetic_image
from inference.errors import InferenceError, ModelNotUsable
from inference.findings import find_out, providers_of, threads_of
from inference.findings.sources import DEFAULT
from inference.hooks import HOOKS_PY, read_hooks
from inference.image import open_image
from inference.model import LoadedModel
from inference.model_info import ModelInfo, warm_up_size
from inference.model_toml import MODEL_TOML, read_toml
from inference.prediction import predict
from inference.repository import ModelFiles
from inference.session import CPU, Session
from inference.spec import Finding, ModelSpec
from inference.tasks import classification, task_of

MAX_WARM_UP_PIXELS = 1 << 28
WARM_UPS, ENOUGH_MS = 3, 1000  # a slow model runs once
SUM_TO_1 = "the scores sum to 1"
TOLERANCE = 2e-3  # of a sum of a thousand scores with 6 digits


def try_out(files: ModelFiles, fingerprint: str) -> LoadedModel:
    """Read, find out, load, and predict a synthetic image.

    Raises:
        ModelNotUsable: what is wrong with the files, in one sentence with what to do.
        FileNotFoundError: they were moved or removed in this moment.
    """
    model = load(files, fingerprint)
    try:
        model = _without_second_softmax(model)
        return replace(model, info=replace(model.info, run_ms=warm_up(model)))
    except InferenceError as error:
        raise ModelNotUsable(f"it cannot predict a test image: {error}") from error


def load(files: ModelFiles, fingerprint: str, tried: ModelInfo | None = None) -> LoadedModel:
    """Load a model without running it; what its trial found out counts more than what its files say.

    Raises:
        ModelNotUsable, FileNotFoundError: as `try_out`.
    """
    if files.onnx is None:
        raise ModelNotUsable(files.reason)
    toml = read_toml(files.folder / MODEL_TOML)
    hooks = read_hooks(files.folder / HOOKS_PY)
    providers, threads = providers_of(toml), threads_of(toml)
    session = Session(files.onnx, providers, threads)
    found = find_out(files.name, files.version, files.folder, toml, session.interface, hooks.postprocess is not None)
    info = tried or ModelInfo(
        found.spec, fingerprint, session.interface.inputs, session.interface.outputs, bool(hooks),
        hooks.preprocess is not None, on_device=providers != (CPU,), one_thread=threads == 1 and providers == (CPU,))
    return LoadedModel(info, session, task_of(info.spec), hooks, found.constants)


def reason_of(error: Exception) -> str:
    """Whatever one model's files bring, for its `reason`."""
    if isinstance(error, ModelNotUsable):
        return str(error)
    if isinstance(error, OSError):
        return f"its files cannot be read: {error.strerror}: let the service's user read them"
    if isinstance(error, MemoryError):
        return "one prediction needs more memory than this machine has: write a smaller tile below [tiling] in " \
               "model.toml, or serve a smaller model"
    return f"it cannot be loaded: {type(error).__name__}: {error}"


def warm_up(model: LoadedModel) -> float:
    """Milliseconds of a core for an image of the model's own size, without decoding it: the least of some runs.

    Raises:
        InferenceError: the model cannot predict.
    """
    data, parameters = _test_image(model.spec), model.parameters({})
    found: list[float] = []
    while len(found) < WARM_UPS and sum(found) < ENOUGH_MS:
        found.append(predict(model, open_image(data, MAX_WARM_UP_PIXELS), parameters).core_ms["run"])
    return min(found)


def _test_image(spec: ModelSpec) -> bytes:
    return encoded(synthetic_image(warm_up_size(spec)), "JPEG", quality=90)


def _without_second_softmax(model: LoadedModel) -> LoadedModel:
    """Keras ends in a softmax, PyTorch in logits: where no source tells, scores from 0 on that sum to 1 do."""
    spec = model.spec
    assumed = Finding("activation", "softmax", DEFAULT)
    if spec.task != classification.NAME or assumed not in spec.findings:
        return model
    found = tuple(Finding("activation", "none", SUM_TO_1) if finding == assumed else finding
                  for finding in spec.findings)
    plain_spec = replace(spec, output=replace(spec.output, activation="none"), findings=found)
    plain = replace(model, info=replace(model.info, spec=plain_spec))
    image = open_image(_test_image(spec), MAX_WARM_UP_PIXELS)
    scores = predict(plain, image, model.parameters({"top_k": len(spec.labels)})).result["predictions"]
    total = sum(prediction["score"] for prediction in scores)  # a prediction below 0 is not among them
    return plain if len(scores) == len(spec.labels) > 1 and abs(total - 1) < TOLERANCE else model
