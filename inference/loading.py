"""A model's files -> a model that can predict, proven on a synthetic picture."""

from dataclasses import replace

from inference.cost import encoded, fastest_ms, synthetic_picture
from inference.errors import InferenceError, ModelNotUsable
from inference.findings import find_out, providers_of, threads_of
from inference.hooks import HOOKS_PY, read_hooks
from inference.image import open_image
from inference.model import LoadedModel, warm_up_size
from inference.model_toml import MODEL_TOML, read_toml
from inference.repository import ModelFiles
from inference.session import CPU, Session
from inference.tasks import task_of

MAX_WARM_UP_PIXELS = 1 << 26


def load(files: ModelFiles) -> LoadedModel:
    """Read, find out, load, warm up.

    Raises:
        ModelNotUsable: whatever is wrong with the files, in one sentence with what to do.
    """
    if files.onnx is None:
        raise ModelNotUsable(files.reason)
    toml = read_toml(files.folder / MODEL_TOML)
    session = Session(files.onnx, providers_of(toml), threads_of(toml))
    spec = find_out(files.name, files.version, files.folder, toml, session.interface)
    model = LoadedModel(spec, session, task_of(spec), read_hooks(files.folder / HOOKS_PY), mark=files.mark)
    try:
        return replace(model, run_ms=_warm_up(model))
    except InferenceError as error:
        raise ModelNotUsable(f"it cannot predict a test picture: {error}") from error


def survives_fork(files: ModelFiles) -> bool:
    """Whether a model may be loaded before a fork: one thread, on the CPU. A faulty file is told by `load`."""
    try:
        toml = read_toml(files.folder / MODEL_TOML)
    except ModelNotUsable:
        return True
    return threads_of(toml) == 1 and providers_of(toml) == (CPU,)


def _warm_up(model: LoadedModel) -> float:
    """Milliseconds of a prediction of a picture of the model's own size."""
    width, height = warm_up_size(model.spec)
    data = encoded(synthetic_picture((width, height)), "JPEG", quality=90)
    parameters = model.parameters({})
    return fastest_ms(lambda: model.predict(open_image(data, MAX_WARM_UP_PIXELS), parameters))
