"""What a model answered to test images, and what is seen in it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUM_TOLERANCE = 2e-3
SHARE_TOLERANCE = 1e-4  # FP16 and quantised models leave 0..1 by a little
LEAST_SPREAD = 0.3
FILLED = 0.8
MOST_NUMBERS = 1_000_000  # of one output that are looked at
ACTIVATIONS = ("Sigmoid", "Softmax", "HardSigmoid")
PLACES_REACH = 0.2  # of the input's side: some place lies beyond it
OFFSETS_REACH = 16.0  # cells, and logarithms of sizes: no offset is larger
PICTURE_SPARE = 0.1  # of the values' spread: a picture's overshoot at edges
LEAST_BELOW_0 = 0.05
LEAST_OF_BYTES = 16.0
# Pixels across and down between the two test images that are parts of one: networks see in strides of at most 32, and
# two different numbers tell an image that is turned.
SHIFT = 32, 64
RIM = 32  # pixels at the rim of the input, where convolutions see what is not there
LIKENESS, LIKENESS_SIDE = 0.6, 48  # least correlation of pixels, and how many are compared each way
SAME_SHARE = 0.02  # of the values' spread
LINEAR = ("Add", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "InstanceNormalization", "LayerNormalization",
          "MatMul", "Mul", "Sub")  # what an activation follows


@dataclass(frozen=True)
class Shown:
    """One output: its `values` for each test image, batch axis included, and the operator that made them, "" where it
    is not known."""

    values: Sequence[NDArray]
    maker: str = ""
    image: NDArray[np.uint8] | None = None  # the first test image (h, w, 3)
    quantum: tuple[float, float] | None = None  # the whole numbers that stand for 0 and 1, of a quantised output

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The finite values of all images, in one axis; of a large output some, at even steps."""
        joined = np.concatenate([values.ravel()[::values.size // MOST_NUMBERS + 1] for values in self.values])
        return joined[np.isfinite(joined)].astype(np.float64)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first image's values."""
        return self.values[0].shape

    @property
    def are_scores(self) -> bool:
        """Whether the values of a map are scores already, and no logits: they lie in 0..1. Where an operator made them
        that an activation follows, they have to use that range: weights that are not trained give small numbers."""
        if self.maker in ACTIVATIONS:
            return True
        if not self.lie_in_0_to_1:
            return False
        return self.maker not in LINEAR or bool(np.ptp(self.numbers) > LEAST_SPREAD)

    @property
    def lie_in_0_to_1(self) -> bool:
        numbers = self.numbers
        return bool(numbers.size) and _lie_in(numbers, 0.0, 1.0)

    def fills(self, low: float, high: float) -> bool:
        """Whether all values lie between two numbers, and use what lies between them: logits know no such bounds."""
        numbers = self.numbers
        return bool(_lie_in(numbers, low, high) and np.ptp(numbers) > FILLED * (high - low))

    def sum_to_1(self, axis: int) -> bool:
        """Whether no value is below 0 and those along an axis sum to 1 in every image."""
        return all(values.size and values.shape[axis] > 1 and float(values.min()) >= -SHARE_TOLERANCE and
                   np.allclose(values.sum(axis=axis, dtype=np.float64), 1, atol=SUM_TOLERANCE)
                   for values in self.values)


Evidence = Mapping[str, Shown]  # by the outputs' names


def _lie_in(numbers: NDArray[np.float64], low: float, high: float) -> bool:
    return bool(numbers.min() >= low - SHARE_TOLERANCE and numbers.max() <= high + SHARE_TOLERANCE)


def rows_of(shown: Shown, columns: int) -> NDArray[np.float64]:
    """The rows (n, columns) of a joined output, of all test images; none where no axis has so many numbers.

    Rows that begin with zeros are padding, and are left out.
    """
    found = [_matrix(values, columns) for values in shown.values]
    rows = np.concatenate([matrix for matrix in found if matrix is not None] or [np.empty((0, columns))])
    return rows[(rows[:, :4] != 0).any(axis=1) & np.isfinite(rows).all(axis=1)]


def _matrix(values: NDArray, columns: int) -> NDArray[np.float64] | None:
    if values.ndim < 2 or not values.size:
        return None
    plain = values.astype(np.float64).reshape(-1, *values.shape[-2:])
    for view in (plain, plain.transpose(0, 2, 1)):
        if view.shape[2] == columns:
            return view.reshape(-1, columns)
    return None


@dataclass(frozen=True)
class BoxEvidence:
    """What four columns (n, 4) of boxes show. `size` is the input's width and height in pixels."""

    boxes: NDArray[np.float64]
    size: tuple[int, int]

    @property
    def are_corners(self) -> bool:
        """Whether the third and fourth number are beyond the first and second: corners, not a width and a height."""
        return _nearly_all(np.all(self.boxes[:, 2:] > self.boxes[:, :2], axis=1))

    @property
    def have_sizes(self) -> bool:
        """Whether the third and fourth number may be a width and a height."""
        return _nearly_all(np.all(self.boxes[:, 2:] > 0, axis=1))

    @property
    def are_shares(self) -> bool:
        """Whether they are shares of the input, and no pixels."""
        return _nearly_all(np.all(np.abs(self.boxes) <= 2, axis=1))

    @property
    def are_places(self) -> bool | None:
        """Whether the first two numbers are places in the input's pixels (or shares of it), and no offsets from the
        cells of a grid; None where that does not show."""
        if not len(self.boxes):
            return None
        highest = self.boxes[:, :2].max(axis=0)
        if (highest > np.asarray(self.size) * PLACES_REACH).any():
            return True
        return False if np.abs(self.boxes).max() < OFFSETS_REACH else None


def _nearly_all(which: Any) -> bool:
    """Of the rows (n,), at least one; single ones may be degenerate."""
    return len(which) > 0 and float(which.mean()) > 0.98


def picture_range(shown: Shown) -> tuple[float, float] | None:
    """What black and white are in a produced image: 0 and 1, -1 and 1, or 0 and 255; None where its values are none of
    these."""
    numbers = shown.numbers
    if not numbers.size:
        return None
    low, high = np.quantile(numbers, (0.001, 0.999))
    spare = PICTURE_SPARE * (high - low)
    if high <= 1 + spare and low >= -1 - spare and high - low <= 2 * (1 + PICTURE_SPARE):
        return (-1.0, 1.0) if low < -max(spare, LEAST_BELOW_0) else (0.0, 1.0)
    return (0.0, 255.0) if high > LEAST_OF_BYTES and low >= -spare and high <= 255 + spare else None


def resembles(shown: Shown, axis: int) -> bool:
    """Whether each of three planes along an axis is bright where the test image has more of one colour, whose noise
    has nothing to do with that of the others: so does an image that was made of it, and no class's score."""
    if shown.image is None:
        return False
    made = _coarse(np.moveaxis(shown.values[0][0], axis - 1, 0).astype(np.float64))
    posted = _coarse(np.moveaxis(shown.image, 2, 0).astype(np.float64))
    return any(all(_correlation(*pair) > LIKENESS for pair in zip(made, order, strict=True))
               for order in (posted, posted[::-1]))


def _coarse(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Planes (3, h, w) at a few pixels of each: (3, cells)."""
    rows, columns = (np.linspace(0, side - 1, LIKENESS_SIDE).round().astype(np.intp) for side in planes.shape[1:])
    return planes[:, rows][:, :, columns].reshape(len(planes), -1)


def _correlation(some: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    spread = some.std() * others.std()
    return 0.0 if spread == 0 else float(((some - some.mean()) * (others - others.mean())).mean() / spread)


def follows_shift(shown: Shown, axis: int, input_size: tuple[int, int]) -> bool | None:
    """Whether an output moves with its image: each of its pixels depends on the neighbourhood alone. None where that
    does not show, as the second image was not seen, or is too small to have a middle.

    Args:
        axis: of the output's channels, 1 or 3.
        input_size: width and height in pixels.
    """
    if len(shown.values) < 2 or len(shown.shape) != 4:
        return None
    before, after = (np.moveaxis(values[0], axis - 1, 0).astype(np.float64) for values in shown.values[:2])
    factor = before.shape[1] / input_size[1]
    across, down = (step * factor for step in SHIFT)
    if factor != before.shape[2] / input_size[0] or across % 1 or down % 1:
        return False
    rim = int(RIM * factor)
    here = before[:, int(down):, int(across):][:, rim:-rim, rim:-rim]
    there = after[:, :-int(down), :-int(across)][:, rim:-rim, rim:-rim]
    if not here.size:
        return None
    spread = float(np.ptp(before))
    return bool(np.abs(here - there).mean() <= SAME_SHARE * spread) if spread else None
