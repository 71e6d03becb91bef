"""Detectors of faces and objects whose outputs have a row for each cell of a grid, or for each box that is expected
there, and that say nothing of it: NanoDet with one output, FastestDet, UltraFace."""

import numpy as np
from numpy.typing import NDArray

from inference.boxes.encodings import BOX, grid_size
from inference.findings.sources.onnx_families import FASTESTDET, NANODET, ULTRAFACE, distributed
from inference.findings.sources.seen import Facts, Seen, last
from inference.spec import Size

NANODET_STRIDES = ((8, 16, 32, 64), (8, 16, 32), (8, 16, 32, 64, 128))
BINS = (8, 17, 16)  # of NanoDet: distances of 0 to 7 strides; of others of its kind 0 to 16, or 0 to 15
PRIORS = ((8, 3), (16, 2), (32, 2), (64, 3))  # of UltraFace: strides, and boxes that are expected at each cell
LEAST_STRIDE = 8
TOLERANCE = 1e-3
MOST = 0.5  # of the columns


def grid_facts(seen: Seen) -> Facts | None:
    """The facts of a detector of one of these families; None for another model."""
    return _nanodet(seen) or _fastestdet(seen) or _ultraface(seen)


def _nanodet(seen: Seen) -> Facts | None:
    """[1, cells, classes + 4 * bins]: scores of each class, then a distribution for each of four distances."""
    if seen.only is None or len(seen.only.shape) != 3 or seen.size is None:
        return None
    rows, columns = seen.only.shape[1:]
    if not isinstance(rows, int) or not isinstance(columns, int):
        return None
    strides = next((strides for strides in NANODET_STRIDES if _cells(seen.size, strides) == rows), None)
    certain = strides == NANODET_STRIDES[0]
    bins = next((bins for bins in BINS if strides and _tell_distances(seen, columns, bins, certain)), None)
    if strides is None or bins is None:
        return None
    return {"columns": "scores box", "units": "pixels", "activation": "none", "background": "none", "nms": "per-class",
            "strides": strides, "are_shown": seen.labels != columns - BOX * bins, **NANODET,
            **distributed(BOX * bins, strides)}


def _tell_distances(seen: Seen, columns: int, bins: int, certain: bool) -> bool:
    """Whether rows end with so many numbers of distances: labels say so, or the test images show scores before them and
    logits there. In most of these columns, unless the rows alone prove a NanoDet."""
    classes, matrices = columns - BOX * bins, _shown(seen, columns)
    if classes < 1 or not all(_are_scores(rows[:, :classes]) for rows in matrices):
        return False
    if seen.labels == classes:
        return True
    logits = np.any([_leave_0_to_1(rows[:, classes:]) for rows in matrices], axis=0)
    return bool(logits.any() if certain and bins == BINS[0] else logits.mean() > MOST) if matrices else False


def _fastestdet(seen: Seen) -> Facts | None:
    """[1, 5 + classes, rows, columns]: an objectness, four numbers of a box, and the softmax of the classes. Labels say
    how many these are, or their sums do."""
    if seen.only is None or len(seen.only.shape) != 4 or seen.channels != 3 or seen.size is None:
        return None
    numbers, height, width = seen.only.shape[1:]
    if not all(isinstance(side, int) and side > 0 for side in (numbers, height, width)):
        return None
    stride = seen.size[0] // int(width)  # type: ignore[arg-type]
    classes = int(numbers) - BOX - 1  # type: ignore[arg-type]
    if classes < 1 or stride < LEAST_STRIDE or grid_size(seen.size, stride) != (width, height):
        return None
    return FASTESTDET | {"strides": (stride,), "are_shown": True} if _tell_objects(seen, classes) else None


def _tell_objects(seen: Seen, classes: int) -> bool:
    """Whether a map begins with scores of objects, and ends with those of so many classes."""
    shown = seen.shown(seen.only)
    if shown is None:
        return False
    maps = np.concatenate([values.astype(np.float64) for values in shown.values])
    if not _are_scores(maps[:, 0]) or not _are_scores(maps[:, BOX + 1:]):
        return False
    return seen.labels == classes or np.allclose(maps[:, BOX + 1:].sum(axis=1), 1, atol=TOLERANCE)


def _ultraface(seen: Seen) -> Facts | None:
    """`boxes` and `scores` of two classes, with as many rows as boxes are expected for this size."""
    if seen.outputs.keys() != {"boxes", "scores"} or seen.size is None:
        return None
    expected = sum(columns * rows * boxes for (columns, rows), boxes in
                   ((grid_size(seen.size, stride), boxes) for stride, boxes in PRIORS))
    boxes, scores = seen.outputs["boxes"], seen.outputs["scores"]
    if boxes.shape[-2:] != (expected, BOX) or last(scores) != 2:
        return None
    return {"names": {"boxes": "boxes", "scores": "scores"}, **ULTRAFACE}


def _cells(size: Size, strides: tuple[int, ...]) -> int:
    return sum(columns * rows for columns, rows in (grid_size(size, stride) for stride in strides))


def _shown(seen: Seen, columns: int) -> list[NDArray]:
    """All rows (n, columns) of the only output, for each test image; views, as they may be many."""
    shown = seen.shown(seen.only)
    return [] if shown is None else [values.reshape(-1, columns) for values in shown.values]


def _leave_0_to_1(rows: NDArray) -> NDArray[np.bool_]:
    """Which columns (k,) of rows (n, k) have numbers that are no scores."""
    return np.asarray((rows.min(axis=0) < -TOLERANCE) | (rows.max(axis=0) > 1 + TOLERANCE))


def _are_scores(values: NDArray) -> bool:
    return not values.size or bool(values.min() >= -TOLERANCE and values.max() <= 1 + TOLERANCE)
