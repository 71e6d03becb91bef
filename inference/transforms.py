"""Pixels -> the array that a model takes: resize, fill, colour order, normalise, layout, datatype. Pure.

Each way is the cheapest exact one that is known: Pillow cuts out planes, which is faster than a strided read in numpy,
and numbers are worked on in place, plane by plane or row by row.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.geometry import Box, Placement
from inference.image import Pixels
from inference.model_toml import Color, Resample
from inference.resampling import linear
from inference.spec import CHANNELS, InputSpec, Size

RESAMPLING = {name: Image.Resampling[name.upper()]  # Pillow's; "linear" is OpenCV's
              for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")}


def look(pixels: Pixels, placement: Placement, wanted: InputSpec) -> Image.Image:
    """The image as the model is to see it, still RGB, of `placement.input_size`."""
    left, top, right, bottom = placement.target
    shown = _resized(pixels, placement.source, (right - left, bottom - top), wanted.resample)
    if shown.size == placement.input_size:
        return shown
    if wanted.fill == "mirror":
        return _mirrored(shown, placement)
    canvas = Image.new("RGB", placement.input_size, tuple(map(round, wanted.fill)))
    canvas.paste(shown, (left, top))
    return canvas


def to_array(image: Image.Image, wanted: InputSpec) -> NDArray:
    """A placed image -> a batch of one.

    Returns:
        (1, channels, height, width) or (1, height, width, channels) of the input's datatype.
    """
    normalise = _normalise_planes if wanted.layout == "NCHW" else _normalise_rows
    return normalise(image, wanted)[np.newaxis]


def _resized(pixels: Pixels, source: Box, size: Size, resample: Resample) -> Image.Image:
    """`source`, in pixels of the full-size image, at `size`; Pillow's filters widen to the area they shrink."""
    image, (x, y) = pixels.image, pixels.origin
    left, top, right, bottom = (side * pixels.scale + start for side, start in zip(source, (x, y, x, y), strict=True))
    if (right - left, bottom - top) != size:
        box = left, top, min(right, image.width), min(bottom, image.height)
        return linear(image, box, size) if resample == "linear" else image.resize(size, RESAMPLING[resample], box=box)
    return image if size == image.size else image.crop((round(left), round(top), round(right), round(bottom)))


def _mirrored(shown: Image.Image, placement: Placement) -> Image.Image:
    """The input filled with what the image shows at its rims, mirrored."""
    left, top, right, bottom = placement.target
    width, height = placement.input_size
    around = ((top, height - bottom), (left, width - right), (0, 0))
    return Image.fromarray(np.pad(np.asarray(shown), around, "symmetric"))


def _normalise_planes(image: Image.Image, wanted: InputSpec) -> NDArray:
    """(channels, height, width)."""
    planes = _planes(image, wanted.color)
    if wanted.datatype != "FP32":
        return np.stack([_looked_up(plane, wanted, channel) for channel, plane in enumerate(planes)])
    batch = np.empty((len(planes), image.height, image.width), np.float32)
    for channel, plane in enumerate(planes):
        batch[channel] = plane
        _scale(batch[channel], *_linear(wanted, channel))
    return batch


def _normalise_rows(image: Image.Image, wanted: InputSpec) -> NDArray:
    """(height, width, channels). Factors are repeated for a whole row: broadcasting three at a time is slow."""
    if wanted.datatype != "FP32":
        return np.stack([_looked_up(plane, wanted, channel)
                         for channel, plane in enumerate(_planes(image, wanted.color))], axis=2)
    pixels = _interleaved(image, wanted.color)
    factors, offsets = zip(*(_linear(wanted, channel) for channel in range(pixels.shape[2])), strict=True)
    batch = pixels.astype(np.float32)
    _scale(batch.reshape(image.height, -1), np.tile(factors, image.width), np.tile(offsets, image.width))
    return batch


def _scale(values: NDArray[np.float32], factor: NDArray | np.float32, offset: NDArray | np.float32) -> None:
    """values * factor - offset, in place."""
    values *= factor
    if np.any(offset):
        values -= offset


def _linear(wanted: InputSpec, channel: int) -> tuple[np.float32, np.float32]:
    """(pixel * scale - mean) / std as pixel * factor - offset."""
    return (np.float32(wanted.scale / wanted.std[channel]), np.float32(wanted.mean[channel] / wanted.std[channel]))


def _looked_up(plane: NDArray[np.uint8], wanted: InputSpec, channel: int) -> NDArray:
    """A plane in another datatype than FP32, by a table of its 256 values: numpy's conversion to FP16 takes twice
    as long. Whole numbers are rounded and cut off at their type's limits."""
    values = (np.arange(256) * wanted.scale - wanted.mean[channel]) / wanted.std[channel]
    if wanted.datatype == "FP16":
        return np.take(values.astype(np.float16), plane)
    datatype = np.dtype(wanted.datatype.lower())
    limits = np.iinfo(datatype)
    whole = np.clip(np.rint(values), limits.min, limits.max)
    return plane if np.array_equal(whole, range(256)) else np.take(whole.astype(datatype), plane)


def _planes(image: Image.Image, color: Color) -> list[NDArray[np.uint8]]:
    """Each channel (height, width) uint8, in the order of `color`. Y is Pillow's L: both are ITU-R 601 luma."""
    if CHANNELS[color] == 1:
        return [np.asarray(image.convert("L"))]
    return [np.frombuffer(image.tobytes("raw", band), np.uint8).reshape(image.height, image.width) for band in color]


def _interleaved(image: Image.Image, color: Color) -> NDArray[np.uint8]:
    """(height, width, channels) uint8."""
    if CHANNELS[color] == 1:
        return np.asarray(image.convert("L"))[:, :, np.newaxis]
    if color == "RGB":
        return np.asarray(image)
    return np.frombuffer(image.tobytes("raw", "BGR"), np.uint8).reshape(image.height, image.width, 3)
