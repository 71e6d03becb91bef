"""Detectors with one output, whose rows hold all of a box: told apart by their columns and rows, and by what test
images show in them."""

import numpy as np
from numpy.typing import NDArray

from inference.evidence import ACTIVATIONS, BoxEvidence, rows_of
from inference.findings.sources.onnx_inputs import Dimension
from inference.findings.sources.seen import Facts, Seen
from inference.model_toml import Columns
from inference.spec import Size

BOX = 4
GRID_STRIDES = (8, 16, 32)
ANCHORS = 3  # boxes that YOLOv5 and v7 have for each cell
YOLO: Facts = {"boxes": "cxcywh", "units": "pixels", "activation": "none", "resize": "letterbox", "resample": "linear"}
ENDS: Facts = {"boxes": "xyxy", "units": "pixels", "activation": "none", "nms": "none", "resize": "letterbox"}
FLAT = "flat_predictions"  # super-gradients' name for rows of image, box, score, class
END2END = "output"  # YOLOv7's name for rows of image, box, class, score
SEVEN: tuple[Columns, ...] = ("batch box score class", "batch box class score")


def row_facts(seen: Seen) -> Facts | None:
    """The facts of a detector with one output that can be nothing else."""
    if _are_shares_of_classes(seen):
        return None
    for recognise in (_seven, _six, _joined):
        facts = recognise(seen)
        if facts is not None:
            return facts
    return None


def _are_shares_of_classes(seen: Seen) -> bool:
    """[batch, 6] or [batch, 7] of a classifier, whose batch may be as open as the number of a detector's rows."""
    shown = seen.shown(seen.only)
    if shown is None or len(shown.shape) != 2:
        return False
    return shown.maker in ACTIVATIONS or shown.sum_to_1(1)


def any_joined(seen: Seen) -> Facts | None:
    """The facts of one output that a person or a file says to be a detector's: [batch, columns, many rows] is YOLOv8's
    order, and in the other it is open whether there is an objectness."""
    if seen.only is None or len(seen.only.shape) != 3:
        return None
    rows, columns = seen.only.shape[1:]
    if isinstance(rows, int) and rows > BOX and (not isinstance(columns, int) or rows < columns):
        return {"columns": "box scores", **YOLO}
    return dict(YOLO)


def _seven(seen: Seen) -> Facts | None:
    """[detections, 7]: image, box, then class and score (YOLOv7) or score and class (super-gradients)."""
    if seen.only is None or len(seen.only.shape) != 2 or seen.only.shape[1] != 7:
        return None
    rows = _shown_rows(seen, 7)
    if len(rows) and rows[:, 0].any():
        return None  # a row begins with the number of its image
    columns = _order_of_seven(rows, seen.only.name)
    if isinstance(seen.only.shape[0], int) and columns is None:
        return None
    return ENDS | {"resample": "linear"} | ({"columns": columns} if columns else {"columns_choices": SEVEN})


def _order_of_seven(rows: NDArray[np.float64], name: str) -> Columns | None:
    """The one of the last two numbers that is whole is the class; a score is at most 1."""
    if len(rows):
        fifth, sixth = rows[:, 5], rows[:, 6]
        score_first = _are_scores(fifth) and _are_classes(sixth)
        class_first = _are_classes(fifth) and _are_scores(sixth)
        if score_first != class_first:
            return "batch box score class" if score_first else "batch box class score"
    if FLAT in name:
        return "batch box score class"
    return "batch box class score" if name == END2END else None


def _six(seen: Seen) -> Facts | None:
    """[detections, 6] or [1, detections, 6]: box, score and class, where test images show them."""
    if seen.only is None or len(seen.only.shape) not in (2, 3) or seen.only.shape[-1] != 6:
        return None
    rows = _shown_rows(seen, 6)
    if not len(rows) or not _are_scores(rows[:, 4]) or not _are_classes(rows[:, 5]):
        return None
    boxes = BoxEvidence(rows[:, :BOX], seen.size or (0, 0))
    corners: Facts = {"boxes": "xyxy"} if boxes.are_corners else {"boxes": "cxcywh"} if boxes.have_sizes else {}
    return {"columns": "box score class", **ENDS, "boxes": None, **corners,
            "units": "normalised" if boxes.are_shares else "pixels"}


def _joined(seen: Seen) -> Facts | None:
    """One output whose columns are four of a box and as many as there are labels, with or without an objectness; its
    rows alone prove it where there is one for each cell of the grids, or three."""
    if seen.only is None or len(seen.only.shape) != 3:
        return None
    rows, columns = seen.only.shape[1:]
    if seen.labels is None:
        return _by_cells(rows, columns, seen)
    if rows == BOX + seen.labels and columns != BOX + seen.labels:
        return _plain(seen, rows)
    if columns == BOX + 1 + seen.labels:
        return _with_objectness(rows, seen, columns)
    return _plain(seen, columns) if columns == BOX + seen.labels else None


def _plain(seen: Seen, columns: int) -> Facts:
    return {"columns": "box scores", **YOLO, **_units(seen, columns)}


def _by_cells(rows: Dimension, columns: Dimension, seen: Seen) -> Facts | None:
    """Without labels: the number of cells is the rows' (YOLOX, YOLOv5) or the columns' (YOLOv8)."""
    cells = _cells(seen.size)
    if cells is None or not isinstance(rows, int) or not isinstance(columns, int):
        return None
    if rows in (cells, ANCHORS * cells) and BOX + 1 < columns < rows:
        return _with_objectness(rows, seen, columns)
    if columns == cells and BOX < rows < columns:
        return {"columns": "box scores", **YOLO}
    return None


def _with_objectness(rows: Dimension, seen: Seen, columns: int) -> Facts:
    """YOLOv5 and v7 with three rows a cell; with one YOLOX, raw or decoded in the graph, or YOLOv6, whose objectness is
    always 1."""
    facts: Facts = {"columns": "box objectness scores"}
    if rows != _cells(seen.size):
        return facts | YOLO | _units(seen, columns)
    shown = _shown_rows(seen, columns)
    places = BoxEvidence(shown[:, :BOX], seen.size or (0, 0)).are_places
    if len(shown) and places and (shown[:, BOX] == 1).all():
        return facts | YOLO
    yolox: Facts = {"strides": GRID_STRIDES, "activation": "none", "resize": "letterbox", "anchor": "top-left",
                    "rounding": "down", "resample": "linear", "color": "BGR", "scale": 1.0}
    if places:
        return facts | yolox | {"boxes": "cxcywh", "units": "pixels", "strides": None}
    return facts | yolox | ({"boxes": "grid"} if places is False or not seen.evidence else {})


def _units(seen: Seen, columns: int) -> Facts:
    """Boxes as shares of the input, where test images show that."""
    boxes = BoxEvidence(_shown_rows(seen, columns)[:, :BOX], seen.size or (0, 0))
    return {"units": "normalised"} if boxes.are_shares and boxes.have_sizes else {}


def _cells(size: Size | None) -> int | None:
    return None if size is None else sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in GRID_STRIDES)


def _shown_rows(seen: Seen, columns: int) -> NDArray[np.float64]:
    shown = seen.shown(seen.only)
    return np.empty((0, columns)) if shown is None else rows_of(shown, columns)


def _are_scores(values: NDArray[np.float64]) -> bool:
    return bool((values >= 0).all() and (values <= 1).all())


def _are_classes(values: NDArray[np.float64]) -> bool:
    return bool((values >= 0).all() and np.array_equal(values, np.rint(values)))
