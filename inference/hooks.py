"""`hooks.py` beside a model: plain functions on numpy arrays, for a model that no task fits."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.boxes.placing import to_image
from inference.errors import InferenceFailed, ModelNotUsable
from inference.findings.sources import HOOKS_PY
from inference.geometry import Placement
from inference.own_decoding import Decoder
from inference.spec import ModelSpec, Size
from inference.tasks import image_to_image

MAX_BITS = 64  # of a whole number: more is no number to most readers of JSON
NAMES = ("preprocess", "postprocess")
CHANNELS = (1, 3)  # of a picture: grey or RGB


@dataclass(frozen=True)
class Context:
    """What `postprocess` may need beside the outputs. `input_size` and `image_size` are (width, height); `to_image`
    maps boxes (n, 4) xyxy from pixels of the model's input to pixels of the image. `decode` reads outputs as a built-in
    task does, `decode(outputs, task, columns="box scores", …)` with the keys of `[output]`, and gives the result."""

    image_size: Size
    input_size: Size
    labels: tuple[str, ...]
    parameters: Mapping[str, Any]
    to_image: Callable[[NDArray], NDArray]
    decode: Decoder


@dataclass(frozen=True)
class Hooks:
    """`preprocess(image) -> inputs`: (height, width, 3) uint8 RGB, upright and at full size -> the image input's
    array, or all inputs by name. `postprocess(outputs, context) -> result`: each output by name -> a list of
    predictions, or the result as a dict, of plain values or numpy's; or a picture."""

    preprocess: Callable[[NDArray[np.uint8]], NDArray | dict[str, NDArray]] | None = None
    postprocess: Callable[[dict[str, NDArray], Context], Any] | None = None

    def __bool__(self) -> bool:
        return self.preprocess is not None or self.postprocess is not None

    def inputs(self, image: NDArray[np.uint8], spec: ModelSpec) -> dict[str, NDArray]:
        """Raises InferenceFailed with what `preprocess` raised."""
        assert self.preprocess is not None
        found = _called("preprocess", self.preprocess, image)
        return dict(found) if isinstance(found, Mapping) else {spec.input.name: np.asarray(found)}

    def result(self, outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement,
               parameters: Mapping[str, Any]) -> dict:
        """Raises InferenceFailed with what `postprocess` raised, or where it gave what JSON has no form for."""
        assert self.postprocess is not None
        context = Context(placement.image_size, placement.input_size, spec.labels, parameters,
                          partial(to_image, placement), Decoder(spec, placement, parameters))
        return _as_result(_called("postprocess", self.postprocess, dict(outputs), context), spec, placement)


def read_hooks(path: Path) -> Hooks:
    """The functions of a `hooks.py`, read anew each time; none where there is no file.

    Raises:
        ModelNotUsable: it cannot be run, or defines neither function.
    """
    if not path.is_file():
        return Hooks()
    module = ModuleType(f"hooks of {path.parent.name}")
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102 - the model's own code
    except (Exception, SystemExit) as error:
        raise ModelNotUsable(f"{HOOKS_PY} cannot be run: {_told(error)}") from error
    found = {name: getattr(module, name) for name in NAMES if callable(getattr(module, name, None))}
    if not found:
        raise ModelNotUsable(f"{HOOKS_PY} defines neither preprocess(image) nor postprocess(outputs, context)")
    return Hooks(**found)


def _as_result(found: Any, spec: ModelSpec, placement: Placement) -> dict:
    """What `postprocess` gave as a task's result; a picture, alone or as `image` of a dict, is told as
    image-to-image.

    Raises:
        InferenceFailed: an array that is no picture, of a model whose task is to make one.
    """
    pixels = _pixels(found.get("image") if isinstance(found, Mapping) else found)
    if pixels is not None:
        beside = {key: value for key, value in found.items() if key != "image"} if isinstance(found, Mapping) else {}
        return image_to_image.result(pixels, spec, placement.image_size) | plain(beside)
    if spec.task == image_to_image.NAME and isinstance(found, np.ndarray):
        raise InferenceFailed(f"{HOOKS_PY}: a picture is an array (height, width) or (height, width, 3) of uint8, or "
                              f"an image of Pillow; this is {list(found.shape)} {found.dtype}")
    told = plain(found)
    return {"task": spec.task} | (told if isinstance(told, dict) else {"predictions": told})


def _pixels(value: Any) -> NDArray[np.uint8] | None:
    """The pixels (height, width, 1 or 3) of a picture, None for what is none."""
    if isinstance(value, Image.Image):
        value = np.asarray(value if value.mode == "L" else value.convert("RGB"))
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or not value.size:
        return None
    pixels = value[:, :, np.newaxis] if value.ndim == 2 else value
    return np.ascontiguousarray(pixels) if pixels.ndim == 3 and pixels.shape[2] in CHANNELS else None


def plain(value: Any) -> Any:
    """Values of classes of their own, such as enums, as those of JSON; a number that is none becomes null.

    Arrays of numbers stay arrays: orjson writes them many times faster than lists, and FP32 in as few digits as it has.

    Raises:
        InferenceFailed: what JSON has no form for.
    """
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "biuf":
        return np.ascontiguousarray(value, _written_as(value.dtype))
    if isinstance(value, np.float32):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {_text(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int) and value.bit_length() < MAX_BITS:
        return int(value)
    raise InferenceFailed(f"{HOOKS_PY}: the result holds a {type(value).__name__}, which JSON has no form for")


def _written_as(kind: np.dtype) -> np.dtype:
    """The nearest type of numbers that orjson writes."""
    if kind.kind == "f" and kind.itemsize not in (4, 8):
        return np.dtype(np.float32 if kind.itemsize < 4 else np.float64)
    return kind.newbyteorder("=")


def _text(value: Any) -> str:
    """A member of an enum that is a str would tell its name."""
    return str.__str__(value) if isinstance(value, str) else str(value)


def _called(name: str, hook: Callable, *arguments: Any) -> Any:
    try:
        return hook(*arguments)
    except (Exception, SystemExit) as error:
        raise InferenceFailed(f"{HOOKS_PY}, {name}: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """The exception and the line of hooks.py it came from."""
    trace, line = error.__traceback__, None
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename.endswith(HOOKS_PY) else line
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}" + (f" (line {line})" if line else "")
