"""Models of a folder, loaded as a trial does it, and what they predict."""

from pathlib import Path

import orjson

from inference.image import OpenedImage, open_image
from inference.loading import try_out
from inference.model import LoadedModel
from inference.prediction import predict
from inference.repository import Fingerprints, ModelFiles, scan
from predictors.server import as_json
from tests.unit.described import RESULT

MAX_PIXELS = 10_000_000


def files_of(models_dir: Path, name: str = "") -> ModelFiles:
    """The files of a model, or of the only one."""
    [files] = [files for files in scan(models_dir) if name in ("", files.name)]
    return files


def loaded(models_dir: Path, name: str = "") -> LoadedModel:
    """The model of a name, or the only one. Raises ModelNotUsable."""
    files = files_of(models_dir, name)
    return try_out(files, Fingerprints().of(files))


def opened(data: bytes) -> OpenedImage:
    return open_image(data, MAX_PIXELS)


def result(model: LoadedModel, data: bytes, **parameters: object) -> dict:
    """What the model predicts for an encoded image. It is as the reference describes it."""
    found = predict(model, opened(data), model.parameters(parameters)).result
    if not model.info.has_hooks:
        RESULT.validate(orjson.loads(as_json(found)))
    return found


def scores(model: LoadedModel, data: bytes, **parameters: object) -> dict[str, float]:
    """A classifier's scores by label."""
    return {found["label"]: found["score"] for found in result(model, data, **parameters)["predictions"]}
