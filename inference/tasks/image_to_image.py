"""image-to-image: an image from an image, such as super-resolution, denoising or style transfer."""

import base64
import io
from collections.abc import Iterable, Mapping
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from inference.blending import Blender
from inference.geometry import Placement
from inference.model_toml import Layout
from inference.spec import ModelSpec, Size
from inference.tiling import Tiles

NAME = "image-to-image"
Pixels = NDArray[np.uint8]  # (height, width, channels): 1 grey or luma, 3 RGB


def read(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Pixels:
    """The output named "image", else the first -> the image it holds, without filling, with the posted one's aspect.

    It is as large as the model made it: a photograph that was reduced for the model is not enlarged again.

    Raises:
        ValueError: the output is no image of 1 or 3 channels.
    """
    name = spec.output.names.get("image") or next(iter(outputs))
    values = _channels_last(name, outputs[name], spec.input.layout)
    pixels = _to_pixels(_without_filling(values, placement), spec.output.range)
    if spec.input.color == "BGR" and pixels.shape[2] == 3:
        pixels = pixels[:, :, ::-1]
    return _resized(pixels, _right_size(placement, spec, (pixels.shape[1], pixels.shape[0])))


def with_image(value: Pixels, image: Image.Image, spec: ModelSpec, placement: Placement) -> Pixels:
    """A produced luma gets the colours of `image`, enlarged bicubically (ITU-R BT.601, as in Pillow's "YCbCr").

    That is how models of one luma channel are meant: the eye sees detail in brightness, hardly in colour
    (SRCNN, https://arxiv.org/abs/1501.00092, section 4). `image` may have been decoded at a reduced scale.
    """
    if spec.input.color != "Y" or value.shape[2] != 1:
        return value
    scale = [decoded / whole for decoded, whole in zip(image.size, placement.image_size, strict=True)] * 2
    left, top, right, bottom = (edge * factor for edge, factor in zip(placement.source, scale, strict=True))
    box = left, top, min(right, image.width), min(bottom, image.height)
    colors = image.resize((value.shape[1], value.shape[0]), Image.Resampling.BICUBIC, box=box).convert("YCbCr")
    merged = Image.merge("YCbCr", (Image.fromarray(value[:, :, 0]), *colors.split()[1:]))
    return np.asarray(merged.convert("RGB"))


def result(value: Pixels, spec: ModelSpec, image_size: Size, parameters: BaseModel | None = None) -> dict:
    """The produced image as the data URL of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(value[:, :, 0] if value.shape[2] == 1 else value).save(buffer, "PNG", compress_level=1)
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"task": NAME, "image": url, "width": value.shape[1], "height": value.shape[0]}


def merge(values: Iterable[tuple[Placement, Pixels]], tiles: Tiles, spec: ModelSpec, parameters: BaseModel) -> Pixels:
    """What the tiles became, row by row -> one image without seams, an integer times as large as the one posted.

    Raises:
        ValueError: the model sees only the middle of each tile.
    """
    produced = iter(values)
    placement, first = next(produced)
    factor = max(1, round(first.shape[1] / (placement.source[2] - placement.source[0])))
    blender, whole = Blender(tiles, factor), _canvas(tiles.image_size, factor, first.shape[2])
    for (placed, pixels), box in zip(chain([(placement, first)], produced), tiles.boxes(), strict=True):
        _check_whole(placed, box)
        enlarged = _resized(pixels, ((box[2] - box[0]) * factor, (box[3] - box[1]) * factor))
        left, top, blended = blender.add(enlarged.transpose(2, 0, 1))
        _, height, width = blended.shape
        whole[top:top + height, left:left + width] = _rounded(blended).transpose(1, 2, 0)
    return whole


def _canvas(image_size: Size, factor: int, channels: int) -> Pixels:
    return np.zeros((image_size[1] * factor, image_size[0] * factor, channels), np.uint8)


def _check_whole(placement: Placement, box: tuple[int, int, int, int]) -> None:
    if placement.source != box:
        raise ValueError('resize = "crop" shows the model only the middle of each tile: '
                         'set [input] resize = "stretch" in model.toml')


def _channels_last(name: str, values: NDArray, layout: Layout) -> NDArray:
    """An output (1, c, h, w), (1, h, w, c) or (1, h, w) -> (h, w, c), c being 1 or 3."""
    batch = values[:, np.newaxis] if values.ndim == 3 else values
    axes = [axis for axis in (1, 3) if batch.ndim == 4 and batch.shape[axis] in (1, 3)]
    if not axes or len(batch) != 1:
        raise ValueError(f"output '{name}' is {list(values.shape)}, expected an image [1, 3, height, width], "
                         "[1, height, width, 3] or one channel: set [output.names] image in model.toml")
    axis = axes[0] if len(axes) == 1 else {"NCHW": 1, "NHWC": 3}[layout]
    return np.moveaxis(batch[0], axis - 1, 2)


def _without_filling(values: NDArray, placement: Placement) -> NDArray:
    """The part of an output (h, w, c) that shows the image; an output may be larger or smaller than the input."""
    down, across = values.shape[0] / placement.input_size[1], values.shape[1] / placement.input_size[0]
    left, top, right, bottom = placement.target
    return values[round(top * down):max(round(bottom * down), round(top * down) + 1),
                  round(left * across):max(round(right * across), round(left * across) + 1)]


def _to_pixels(values: NDArray, black_white: tuple[float, float]) -> Pixels:
    """Numbers -> 0..255 by the pair that stands for black and white; bytes are pixels already. What is NaN is black."""
    if values.dtype == np.uint8:
        return values
    black, white = black_white
    scaled = values.astype(np.float32)
    scaled -= np.float32(black)
    scaled *= np.float32(255 / (white - black))
    return _rounded(scaled)


def _rounded(values: NDArray[np.float32]) -> Pixels:
    """Rounded and clipped to bytes; the values are used up, as those of a large image take hundreds of megabytes."""
    np.fmax(values, 0, out=values)  # unlike np.clip it takes the 0 for NaN
    values += 0.5
    np.minimum(values, 255, out=values)
    return values.astype(np.uint8)


def _right_size(placement: Placement, spec: ModelSpec, size: Size) -> Size:
    """The produced image's size. What a stretch to the model's own size drew out is reduced to the posted aspect; where
    the image kept its own size, the model's answer is left as it is, and nothing is enlarged."""
    width, height = placement.source[2] - placement.source[0], placement.source[3] - placement.source[1]
    if spec.input.size is None and spec.input.resize == "stretch" and spec.input.multiple_of > 1:
        factors = size[0] / placement.input_size[0], size[1] / placement.input_size[1]
        return max(1, round(width * factors[0])), max(1, round(height * factors[1]))
    if spec.input.size is None:
        return size
    scale, factor = min(size[0] / width, size[1] / height), max(size[0] / placement.input_size[0], 1)
    wanted = max(1, round(width * scale)), max(1, round(height * scale))
    rounded_only = all(abs(one - other) <= factor for one, other in zip(wanted, size, strict=True))
    return size if rounded_only else wanted


def _resized(pixels: Pixels, size: Size) -> Pixels:
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else np.ascontiguousarray(pixels))
    resized = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    return resized[:, :, np.newaxis] if grey else resized
