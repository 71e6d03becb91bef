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

from inference.boxes.placing import to_image
from inference.errors import InferenceFailed, ModelNotUsable
from inference.geometry import Placement
from inference.spec import ModelSpec, Size

HOOKS_PY = "hooks.py"
MAX_BITS = 64  # of a whole number: more is no number to most readers of JSON
NAMES = ("preprocess", "postprocess")


@dataclass(frozen=True)
class Context:
    """What `postprocess` may need beside the outputs. `to_image` maps boxes (n, 4) xyxy from pixels of the model's
    input to pixels of the image; `image_size` is (width, height)."""

    image_size: Size
    labels: tuple[str, ...]
    parameters: Mapping[str, Any]
    to_image: Callable[[NDArray], NDArray]


@dataclass(frozen=True)
class Hooks:
    """`preprocess(image) -> inputs`: (height, width, 3) uint8 RGB, upright and at full size -> the image input's
    array, or all inputs by name. `postprocess(outputs, context) -> result`: each output by name -> a list of
    predictions, or the result as a dict, of plain values or numpy's."""

    preprocess: Callable[[NDArray[np.uint8]], NDArray | dict[str, NDArray]] | None = None
    postprocess: Callable[[dict[str, NDArray], Context], list | dict] | None = None

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
        context = Context(placement.image_size, spec.labels, parameters, partial(to_image, placement))
        found = plain(_called("postprocess", self.postprocess, dict(outputs), context))
        return {"task": spec.task} | (found if isinstance(found, dict) else {"predictions": found})


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
