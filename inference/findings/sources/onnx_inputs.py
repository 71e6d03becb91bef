"""What the ONNX file says of its inputs: which one takes the image, in which form, and what the others are fed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import ModelNotUsable
from inference.model_toml import Layout, ModelToml
from inference.spec import Interface, Size, TensorInfo

Dimension = int | str | None
FED = ("FP32", "FP16", "UINT8", "INT8")
CHANNEL_COUNTS = (1, 3)
NO_VALUES: Mapping[str, Any] = {}
PIXEL_VALUES = "pixel_values"  # Hugging Face's name for an image, always NCHW
PIXEL_MASK = "pixel_mask"  # DETR: 1 where the input shows the image, 0 where it is filled up
TARGET_SIZES = "orig_target_sizes"  # RT-DETR, D-FINE: boxes come out in pixels of this size (width, height)
BARE_KEY = re.compile("[A-Za-z0-9_-]+")
NUMPY_TYPES: Mapping[str, type[np.generic]] = {
    "FP64": np.float64, "FP32": np.float32, "FP16": np.float16, "INT64": np.int64, "INT32": np.int32,
    "INT8": np.int8, "UINT8": np.uint8, "BOOL": np.bool_}


@dataclass(frozen=True)
class ImageInput:
    """The input that takes the image; `layout` is None where the shape does not tell it. `tensor` has a batch axis of 1
    also where the input has none, as torchvision's detectors, which `batched` tells."""

    tensor: TensorInfo
    layout: Layout | None
    batched: bool = True

    @property
    def batch(self) -> int | None:
        """Images that one run takes, None where the model leaves it open."""
        return _fixed(self.tensor.shape[0])

    def channels(self, layout: Layout) -> int | None:
        return _fixed(self.tensor.shape[1 if layout == "NCHW" else 3])

    def sides(self, layout: Layout) -> tuple[int | None, int | None]:
        """Width and height in pixels, each None where it is open."""
        height, width = self.tensor.shape[2:4] if layout == "NCHW" else self.tensor.shape[1:3]
        return _fixed(width), _fixed(height)


def image_input(toml: ModelToml, model: Interface) -> ImageInput:
    """The input that takes the image: the one named in model.toml, or the only one that could.

    Raises:
        ModelNotUsable: none or several could take it, or its type is not fed.
    """
    tensor = _named(toml.input.name, model) if toml.input.name else _only(toml, model)
    if 0 in tensor.shape:
        raise ModelNotUsable(f"input {told(tensor)} has a side of 0, which no image fits: export the model with its "
                             "sides in pixels, or with open ones")
    batched = len(tensor.shape) != 3
    if not batched:
        tensor = _with_batch(tensor)
    if len(tensor.shape) != 4:
        raise ModelNotUsable(f"input {told(tensor)} cannot take an image: export the model with one input of "
                             "four dimensions, batch x channels x height x width")
    if tensor.datatype not in FED:
        raise ModelNotUsable(f"the type of input {tensor.name} is {tensor.datatype}; {', '.join(FED[:-1])} and "
                             f"{FED[-1]} are fed: export the model with one of these")
    return ImageInput(tensor, _layout(tensor), batched)


def constants(toml: ModelToml, model: Interface, image: TensorInfo, size: Size | None,
              values: Mapping[str, Any] = NO_VALUES, own_input: bool = False) -> dict[str, NDArray[np.generic]]:
    """An array for each input but the image, from model.toml, from the usual `values` of parameters, or by the name
    that an exporter gives it. With `own_input`, of hooks.py, that makes what has none of these.

    Raises:
        ModelNotUsable: an input has no value, or a value does not fit its input.
    """
    others = {tensor.name: tensor for tensor in model.inputs if tensor.name != image.name}
    for name in toml.constants:
        if name not in others:
            raise ModelNotUsable(f'model.toml, constants.{name}: the model has no further input of this name; it has '
                                 f'{", ".join(others) or "none"}')
    written = {**values, **toml.constants}
    return {name: _constant(tensor, written.get(name), size) if model.graph.reads(name) else _anything(tensor)
            for name, tensor in others.items()
            if not own_input or not model.graph.reads(name) or name in written
            or _known(tensor, np.float32, size) is not None}


def stand_ins(model: Interface, image: TensorInfo) -> dict[str, int]:
    """Zeros for the further inputs whose names tell nothing: what the outputs mean shows without their values."""
    return {tensor.name: 0 for tensor in model.inputs if model.graph.reads(tensor.name)
            and tensor.name not in (image.name, PIXEL_MASK, TARGET_SIZES)}


def own_image_input(toml: ModelToml, model: Interface) -> ImageInput:
    """The input that a hooks.py makes: the one that takes an image, as above; else the first, which is believed to get
    what it takes, whatever its form.

    Raises:
        ModelNotUsable: there is no such input.
    """
    if toml.input.name:
        tensor = _named(toml.input.name, model)
    else:
        read = [tensor for tensor in model.inputs if model.graph.reads(tensor.name)] or list(model.inputs)
        images = [tensor for tensor in read if _may_be_image(tensor) and tensor.datatype in FED]
        if not read:
            raise ModelNotUsable("the model has no inputs: export it with one that takes an image")
        tensor = (images or read)[0]
    if len(tensor.shape) == 4 and tensor.datatype in FED and _layout(tensor) is not None:
        return ImageInput(tensor, _layout(tensor))
    return ImageInput(TensorInfo(tensor.name, (None, 3, None, None), tensor.datatype), "NCHW")


def told(tensor: TensorInfo) -> str:
    """`pixel_values [batch, 3, 224, 224]`, for messages."""
    return f"{tensor.name} [{', '.join('?' if side is None else str(side) for side in tensor.shape)}]"


def toml_key(name: str) -> str:
    """An input's name as a key of model.toml, in quotes where it needs them: "normalization/Sub/y:0"."""
    return name if BARE_KEY.fullmatch(name) else f'"{name}"'


def _named(name: str, model: Interface) -> TensorInfo:
    for tensor in model.inputs:
        if tensor.name == name:
            return tensor
    raise ModelNotUsable(f'model.toml, input.name: the model has no input "{name}"; it has '
                         f'{", ".join(map(told, model.inputs)) or "none"}')


def _only(toml: ModelToml, model: Interface) -> TensorInfo:
    free = [tensor for tensor in model.inputs
            if tensor.name not in toml.constants and model.graph.reads(tensor.name)]
    candidates = [tensor for tensor in free if _may_be_image(tensor)]
    candidates = [tensor for tensor in candidates if tensor.shape[1:].count(1) < 2] or candidates
    if not candidates:
        candidates = [tensor for tensor in free if len(tensor.shape) == 3 and _layout(_with_batch(tensor)) is not None]
    if len(candidates) > 1:
        # A mask or a map beside the image has one channel where the image has three.
        candidates = [tensor for tensor in candidates if 3 in tensor.shape[1:]] or candidates
    if len(candidates) == 1:
        return candidates[0]
    if len(candidates) > 1:
        first, second = candidates[:2]
        raise ModelNotUsable(f'inputs {told(first)} and {told(second)} could both take the image: add '
                             f'name = "{first.name}" below [input] and {toml_key(second.name)} = 0 below [constants] '
                             'in model.toml')
    raise ModelNotUsable(_no_image(free))


def _no_image(free: Sequence[TensorInfo]) -> str:
    listed = ", ".join(map(told, free)) or "none"
    if any(len(tensor.shape) == 4 for tensor in free):
        return (f"no input has 1 or 3 channels; the model's inputs: {listed}: export the model for images in RGB or in "
                "grey")
    return (f"no input can take an image; the model's inputs: {listed}: export the model with one input of four "
            "dimensions, batch x channels x height x width")


def _with_batch(tensor: TensorInfo) -> TensorInfo:
    return TensorInfo(tensor.name, (1, *tensor.shape), tensor.datatype)


def _may_be_image(tensor: TensorInfo) -> bool:
    return len(tensor.shape) == 4 and (_layout(tensor) is not None or None in map(_fixed, tensor.shape[1:]))


def _layout(tensor: TensorInfo) -> Layout | None:
    if tensor.shape[1] in CHANNEL_COUNTS or tensor.name == PIXEL_VALUES or "channel" in str(tensor.shape[1]):
        return "NCHW"
    return "NHWC" if tensor.shape[3] in CHANNEL_COUNTS or "channel" in str(tensor.shape[3]) else None


def _anything(tensor: TensorInfo) -> NDArray[np.generic]:
    """For an input that no operator reads, as tf2onnx leaves some behind."""
    return np.zeros([_fixed(side) or 1 for side in tensor.shape], NUMPY_TYPES.get(tensor.datatype, np.float32))


def _constant(tensor: TensorInfo, written: Any, size: Size | None) -> NDArray[np.generic]:
    kind = NUMPY_TYPES.get(tensor.datatype)
    if kind is None:
        raise ModelNotUsable(f"the type of input {tensor.name} is {tensor.datatype}, which cannot be fed: export the "
                             "model without this input")
    if written is not None:
        return _written(tensor, kind, written)
    known = _known(tensor, kind, size)
    if known is None:
        raise ModelNotUsable(f"input {told(tensor)} {tensor.datatype} needs a value: add {toml_key(tensor.name)} = 0 "
                             "(its value) below [constants] in model.toml")
    return known


def _known(tensor: TensorInfo, kind: type[np.generic], size: Size | None) -> NDArray[np.generic] | None:
    if tensor.name == PIXEL_MASK and len(tensor.shape) == 3:
        return _mask(tensor, kind, size)
    if tensor.name == TARGET_SIZES and len(tensor.shape) == 2:
        # A scalar stands for the size of each image's input, which is not known yet.
        return np.ones((), kind) if size is None else np.full((_fixed(tensor.shape[0]) or 1, 2), size).astype(kind)
    return None


def _mask(tensor: TensorInfo, kind: type[np.generic], size: Size | None) -> NDArray[np.generic]:
    """Ones. A scalar stands for a mask of the size of each image, which is not known yet."""
    batch, height, width = map(_fixed, tensor.shape)
    width, height = (width or size[0], height or size[1]) if size else (width, height)
    if width and height:
        return np.ones((batch or 1, height, width), kind)
    return np.ones((), kind)


def _written(tensor: TensorInfo, kind: type[np.generic], written: Any) -> NDArray[np.generic]:
    try:
        given = np.asarray(written)
        values = given.astype(kind)
    except (ValueError, TypeError, OverflowError) as error:
        raise _does_not_fit(tensor, written) from error
    if given.dtype.kind not in "biuf" or (values.dtype.kind in "biu" and not np.array_equal(values, given)):
        raise _does_not_fit(tensor, written)
    if given.ndim == 0:
        return np.full([_fixed(side) or 1 for side in tensor.shape], values)
    fits = [_fixed(side) in (None, length) for side, length in zip(tensor.shape, values.shape, strict=False)]
    if values.ndim != len(tensor.shape) or not all(fits):
        raise _does_not_fit(tensor, written)
    return values


def _does_not_fit(tensor: TensorInfo, written: Any) -> ModelNotUsable:
    text = str(written)
    return ModelNotUsable(f"model.toml, constants.{tensor.name}: {text if len(text) < 60 else text[:57] + '...'} does "
                          f"not fit {told(tensor)} {tensor.datatype}: write one number, or a list of this shape")


def _fixed(side: Dimension) -> int | None:
    """A dimension's length, None where it is open; exporters write 0 and -1 for open ones, too."""
    return side if isinstance(side, int) and side > 0 else None
