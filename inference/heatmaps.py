"""A heat map per keypoint -> where each keypoint is, in cells of the map. Pure."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLUR, REACH = 0.8, 5  # cells: the deviation of the Gaussian, and how far it is added up
LEAST, MOST = 1e-3, 50.0  # values of a blurred map, of which a logarithm is taken


def peaks(maps: NDArray) -> tuple[Floats, Floats]:
    """Heat maps (k, h, w) -> the keypoints (k, 2) x and y in cells, 0 being the first one's middle, and scores (k,).

    The highest cell, then one step of Newton's method on the logarithm of the blurred map, which is a parabola where
    the map is a Gaussian (DARK, Zhang et al. 2020, https://arxiv.org/abs/1910.06278, as transformers'
    `post_dark_unbiased_data_processing`).
    """
    values = maps.astype(np.float64)
    count, _, width = values.shape
    y, x = np.divmod(values.reshape(count, -1).argmax(axis=1), width)
    logs = np.log(np.clip(_blurred(values), LEAST, MOST))
    around = np.pad(logs, ((0, 0), (1, 1), (1, 1)), mode="edge")
    cells = np.stack([_at(around, x + across, y + down) for down in range(3) for across in range(3)])
    return np.column_stack((x, y)) - _newton(cells), values[np.arange(count), y, x]


def _at(maps: Floats, x: NDArray[np.intp], y: NDArray[np.intp]) -> Floats:
    return maps[np.arange(len(maps)), y, x]


def _newton(cells: Floats) -> Floats:
    """The step (k, 2) away from the highest place, from the 3 x 3 cells (9, k) around each peak, row by row.

    The mixed derivative is of four corners' two, as in the paper's own code; a peak that is flat stays.
    """
    upper_left, upper, _, left, middle, right, _, lower, lower_right = cells
    slope = np.stack(((right - left) / 2, (lower - upper) / 2), axis=1)
    xx, yy = right - 2 * middle + left, lower - 2 * middle + upper
    xy = (lower_right - right - lower + 2 * middle - left - upper + upper_left) / 2
    tiny = np.finfo(np.float32).eps
    curves = np.stack((np.stack((xx + tiny, xy), axis=1), np.stack((xy, yy + tiny), axis=1)), axis=2)
    bent = np.abs(np.linalg.det(curves)) > tiny ** 2
    steps = np.zeros_like(slope)
    steps[bent] = np.linalg.solve(curves[bent], slope[bent, :, np.newaxis])[:, :, 0]
    return steps


def _blurred(maps: Floats) -> Floats:
    """Maps (k, h, w) under a Gaussian, mirrored at their rims as scipy's gaussian_filter does."""
    offsets = np.arange(-REACH, REACH + 1)
    weights = np.exp(-offsets ** 2 / (2 * BLUR ** 2))
    weights /= weights.sum()
    for axis in (1, 2):
        padded = np.pad(maps, [(REACH * (axis == side),) * 2 for side in range(3)], mode="symmetric")
        length = maps.shape[axis]
        maps = sum((weight * padded.take(np.arange(start, start + length), axis=axis)
                    for start, weight in enumerate(weights)), np.zeros_like(maps))
    return maps
