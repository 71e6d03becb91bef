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
from inference.library_texts import one_line
from inference.own_decoding import Decoder
from inference.spec import ModelSpec, Size
from inference.tasks import image_to_image

MOST_SAID = 500  # characters of an exception's text
MAX_RESULT_BYTES = 64 << 20
NUMBER_BYTES = 8
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
        return image_to_image.result(pixels, spec, placement.image_size) | _bounded(beside)
    if spec.task == image_to_image.NAME and isinstance(found, np.ndarray):
        raise InferenceFailed(f"{HOOKS_PY}: a picture is an array (height, width) or (height, width, 3) of uint8, or "
                              f"an image of Pillow; this is {list(found.shape)} {found.dtype}")
    told = _bounded(found)
    return {"task": spec.task} | (told if isinstance(told, dict) else {"predictions": told})


def _pixels(value: Any) -> NDArray[np.uint8] | None:
    """The pixels (height, width, 1 or 3) of a picture, None for what is none."""
    if isinstance(value, Image.Image):
        value = np.asarray(value if value.mode == "L" else value.convert("RGB"))
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or not value.size:
        return None
    pixels = value[:, :, np.newaxis] if value.ndim == 2 else value
    return np.ascontiguousarray(pixels) if pixels.ndim == 3 and pixels.shape[2] in CHANNELS else None


def _bounded(value: Any) -> Any:
    """Plain values, if they are not too many for one answer. Raises InferenceFailed."""
    try:
        found = plain(value)
        too_many = _size(found) > MAX_RESULT_BYTES
    except RecursionError as error:
        raise InferenceFailed(f"{HOOKS_PY}, postprocess: the result is nested too deep, or holds itself") from error
    if too_many:
        raise InferenceFailed(f"{HOOKS_PY}, postprocess: the result has more than {MAX_RESULT_BYTES >> 20} MB: return "
                              "less, such as the best alone")
    return found


def _size(value: Any) -> int:
    """Roughly the bytes of a plain value."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        return sum(len(key) + _size(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(value) if isinstance(value, str) else NUMBER_BYTES


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
        code = getattr(hook, "__code__", None)
        raise InferenceFailed(f"{HOOKS_PY}, {name}: {_told(error, code and code.co_firstlineno)}") from error


def _told(error: BaseException, begins: int | None = None) -> str:
    """What an exception says, and the line of the model's hooks.py that it came from; that where the function `begins`
    where it could not even be called."""
    trace, line = error.__traceback__, begins
    while trace is not None:
        source = trace.tb_frame.f_code.co_filename
        line = trace.tb_lineno if source.endswith(HOOKS_PY) and source != __file__ else line
        trace = trace.tb_next
    return _said(error) + (f" (line {line})" if line and not isinstance(error, SyntaxError) else "")


def _said(error: BaseException) -> str:
    """An exception in words: some bear a text that only their class explains."""
    text = one_line(error)[:MOST_SAID]
    if isinstance(error, KeyError):
        return f"there is no key {text}"
    if isinstance(error, SystemExit):
        return "it leaves the process"
    return text or "it fails without a text"
