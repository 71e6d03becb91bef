"""depth-estimation: how far, or how near, every pixel of the image is, in the model's own measure."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.depth_maps import LARGEST, encode_depth
from inference.findings.sources.onnx_depth import PREDICTED_DEPTH
from inference.geometry import Placement
from inference.spec import ModelSpec, Size

NAME = "depth-estimation"
BAND_PIXELS = 1 << 20  # an image of 100 megapixels is worked on in 96 bands
CUBIC = -0.75  # of PyTorch's interpolate(mode="bicubic"); Keys 1981, https://doi.org/10.1109/TASSP.1981.1163711
FLAT = 1e-6  # of the depth: a spread that is less is the rounding of FP32
TINY = 1e-30
TAPS = np.arange(-1, 3)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Depth:
    """`values` (h, w) on the model's grid, which covers its whole input; `placement` tells where the image is. Where
    the grid is `aligned`, the middles of its corner cells lie on those of the image's corner pixels."""

    values: Floats
    placement: Placement
    aligned: bool = False


@dataclass(frozen=True)
class _Axis:
    """For each pixel along one axis the four cells around it (pixels, 4), and their weights."""

    cells: NDArray[np.intp]
    weights: Floats


def read(outputs: Mapping[str, NDArray], spec: ModelSpec, placement: Placement, parameters: BaseModel) -> Depth:
    """The output named "depth", else `predicted_depth`, else the only map of one plane.

    Raises:
        ValueError: there is no such output, or it has values that are no numbers.
    """
    name = _name(outputs, spec)
    values = _plane(outputs[name])
    if values is None:
        raise ValueError(f"output '{name}' is {list(outputs[name].shape)}, expected a depth for each pixel [1, height, "
                         "width] or [1, 1, height, width]: set [output.names] depth in model.toml to another output")
    if not np.isfinite(values).all():
        raise ValueError(f"output '{name}' has values that are not finite: check [input] scale, mean and std "
                         "in model.toml")
    return Depth(values, placement, spec.output.interpolation == "aligned")


def result(value: Depth, spec: ModelSpec, image_size: Size, parameters: BaseModel) -> dict:
    """The depth of every pixel as the data URL of a grey PNG of 16 bits, from 0 for the minimum to 65535."""
    lowest, highest = _range(value, image_size)
    pixels = np.empty(image_size[::-1], np.uint16)
    spread, largest = float(highest) - float(lowest), max(abs(float(highest)), abs(float(lowest)))
    factor = np.float32(LARGEST / spread if spread > FLAT * largest + TINY else 0)
    top = 0
    for band in _bands(value, image_size):
        band -= lowest
        band *= factor
        np.rint(band, out=band)
        pixels[top:top + len(band)] = np.minimum(band, LARGEST, out=band)
        top += len(band)
    return {"task": NAME, "depth": encode_depth(pixels), "minimum": float(str(lowest)), "maximum": float(str(highest))}


# The output


def _name(outputs: Mapping[str, NDArray], spec: ModelSpec) -> str:
    if "depth" in spec.output.names:
        return spec.output.names["depth"]
    if PREDICTED_DEPTH in outputs:
        return PREDICTED_DEPTH
    planes = [name for name, values in outputs.items() if values.dtype.kind == "f" and _plane(values) is not None]
    if len(planes) != 1:
        raise ValueError(f"{len(planes)} of the outputs {', '.join(outputs)} are maps of one plane: set [output.names] "
                         "depth in model.toml")
    return planes[0]


def _plane(values: NDArray) -> Floats | None:
    """(1, h, w), (1, 1, h, w) or (1, h, w, 1) -> (h, w); None for another shape."""
    if values.ndim == 4 and 1 in (values.shape[1], values.shape[3]):
        values = values[:, 0] if values.shape[1] == 1 else values[..., 0]
    if values.ndim != 3 or len(values) != 1 or not values.size:
        return None
    return np.asarray(values[0], np.float32)


# From the model's grid to the image's pixels


def _range(value: Depth, image_size: Size) -> tuple[np.float32, np.float32]:
    """The least and the greatest depth of the image's pixels: the curve between cells may reach beyond these."""
    ranges = [(band.min(), band.max()) for band in _bands(value, image_size)]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _bands(value: Depth, image_size: Size) -> Iterator[Floats]:
    """The depth of the image's pixels, some rows at a time: (rows, width) each, from the top.

    It is interpolated bicubically, as transformers' post_process_depth_estimation does; an aligned grid linearly, as
    MiDaS and Ultralytics' depth predictor do.
    """
    height, width = value.values.shape
    columns, rows = _axis(value, 0, width, image_size), _axis(value, 1, height, image_size)
    wide = _along_rows(value.values, columns)
    step = max(1, BAND_PIXELS // image_size[0])
    for top in range(0, image_size[1], step):
        cells, weights = rows.cells[top:top + step], rows.weights[top:top + step]
        band = wide[cells[:, 0]] * weights[:, :1]
        for tap in range(1, len(TAPS)):
            band += wide[cells[:, tap]] * weights[:, tap:tap + 1]
        yield band


def _along_rows(values: Floats, columns: _Axis) -> Floats:
    """(h, w) -> (h, pixels)."""
    wide = values[:, columns.cells[:, 0]] * columns.weights[:, 0]
    for tap in range(1, len(TAPS)):
        wide += values[:, columns.cells[:, tap]] * columns.weights[:, tap]
    return wide


def _axis(value: Depth, axis: int, cells: int, image_size: Size) -> _Axis:
    """The cells that show each pixel. Those that show the filling are left out: what is nearest is repeated there, and
    where a crop does not show the image."""
    placement, count = value.placement, image_size[axis]
    share = cells / placement.input_size[axis]
    start, first, end = placement.source[axis], placement.target[axis], placement.target[axis + 2]
    shown = math.floor(first * share), max(math.floor(first * share), math.ceil(end * share) - 1)
    middles = (np.arange(count) + 0.5 - start) * placement.scale[axis] + first
    at = np.asarray(np.linspace(*shown, count) if value.aligned else middles * share - 0.5, np.float64)
    below = np.floor(at)
    distances = (at - below)[:, np.newaxis] - TAPS
    weights = np.maximum(1 - np.abs(distances), 0) if value.aligned else _cubic(distances)
    around = np.clip(below[:, np.newaxis].astype(np.intp) + TAPS, *shown)
    return _Axis(around, weights.astype(np.float32))


def _cubic(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight of a cell by its distance, which is below 2."""
    far = np.abs(distances)
    near = ((CUBIC + 2) * far - (CUBIC + 3)) * far * far + 1
    return np.where(far <= 1, near, ((CUBIC * far - 5 * CUBIC) * far + 8 * CUBIC) * far - 4 * CUBIC)
