"""What the peers predict with: the bundled models, in two ways.

`plain`: what the image examples of these servers do, Pillow's `open`, `convert`, `resize` and numpy's normalising,
with onnxruntime as Punnet sets it (one thread, no spinning). `inference`: Punnet's own package, so that only the
servers differ. PUNNET_BENCH_PREPROCESSING says which; of Punnet's code nothing but `inference` is used.
"""

import io
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from inference import loading, repository
from inference.image import open_image
from inference.model import LoadedModel
from inference.prediction import predict

MODELS = Path(__file__).resolve().parents[2] / "models"
PREPROCESSING = "PUNNET_BENCH_PREPROCESSING"
QUICK, DETECTOR = "strawberry", "strawberry-fruit"
LABELS = ("healthy", "leaf_scorch")
LEAF_SIDE, FIELD_SIDE = 192, 640  # pixels of the models' inputs
MEAN, STD = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)
THRESHOLD = 0.5
GREY = (114, 114, 114)
MAX_PIXELS = 100_000_000
Image.MAX_IMAGE_PIXELS = None
Predict = Callable[[bytes], dict]


def load(name: str) -> Predict:
    """The function that predicts, with its model loaded."""
    if os.environ.get(PREPROCESSING) == "inference":
        return with_inference(name, {"tile": "0"} if name == DETECTOR else {})
    session = _session(name)
    predict_one = _classify if name == QUICK else _detect
    return lambda data: predict_one(session, Image.open(io.BytesIO(data)).convert("RGB"))


def with_inference(name: str, parameters: Mapping[str, str]) -> Predict:
    """The prediction as Punnet does it, without a server."""
    model = _loaded(name)
    checked = model.parameters(parameters)
    return lambda data: predict(model, open_image(data, MAX_PIXELS), checked).result


@cache
def _loaded(name: str) -> LoadedModel:
    files = next(files for files in repository.scan(MODELS) if files.name == name)
    return loading.try_out(files, fingerprint="")


def _session(name: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(MODELS / name / "model.onnx"), options, providers=["CPUExecutionProvider"])


def _classify(session: ort.InferenceSession, image: Image.Image) -> dict:
    pixels = np.asarray(image.resize((LEAF_SIDE, LEAF_SIDE)), np.float32) / 255
    [logits] = session.run(None, {"image": _batch((pixels - MEAN) / STD)})
    powers = np.exp(logits[0] - logits[0].max())
    scores = powers / powers.sum()
    best = int(scores.argmax())
    return {"predictions": [{"label": LABELS[best], "score": float(scores[best])}]}


def _detect(session: ort.InferenceSession, image: Image.Image) -> dict:
    scale = FIELD_SIDE / max(image.size)
    width, height = round(image.width * scale), round(image.height * scale)
    left, top = (FIELD_SIDE - width) // 2, (FIELD_SIDE - height) // 2
    canvas = Image.new("RGB", (FIELD_SIDE, FIELD_SIDE), GREY)
    canvas.paste(image.resize((width, height)), (left, top))
    [rows] = session.run(None, {"image": _batch(np.asarray(canvas, np.float32) / 255)})
    found = [row for row in rows[0] if row[4] >= THRESHOLD]
    return {"predictions": [
        {"label": "ripe_strawberry", "score": float(score), "box": _box(corners, left, top, scale)}
        for *corners, score, _ in found]}


def _batch(pixels: NDArray) -> NDArray[np.float32]:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis])


def _box(corners: list[float], left: int, top: int, scale: float) -> dict[str, float]:
    xmin, ymin, xmax, ymax = (float(side - start) / scale
                              for side, start in zip(corners, (left, top, left, top), strict=True))
    return {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
