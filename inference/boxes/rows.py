"""A detector's outputs, in any of the field's layouts, as rows: box, scores and what else belongs to them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from inference.boxes.encodings import BOX, box_numbers, grid_size
from inference.boxes.stacks import stacked
from inference.spec import ModelSpec, OutputSpec, Size

# Numbers of a row beside its box, the scores of its classes, and what ends it
BESIDE = {"box scores": 0, "scores box": 0, "box objectness scores": 1, "objectness box scores": 1}
# Numbers of a row that names its class
FIXED = {"box score class": 6, "batch box class score": 7, "batch box score class": 7}


@dataclass(frozen=True)
class Rows:
    """What a detector says about each of n places, before any is chosen: views of its outputs where possible.

    `boxes` (n, `box_numbers`) are in the model's own encoding, `scores` (n, c) without activation and with the
    background's column, (n, 1) where `classes` (n,) names each row's class. `extra` (n, m) are further columns: mask
    coefficients, keypoints, an angle.
    """

    boxes: NDArray
    scores: NDArray
    objectness: NDArray | None = None
    classes: NDArray | None = None
    extra: NDArray | None = None


def find_rows(outputs: Mapping[str, NDArray], spec: ModelSpec, input_size: Size) -> Rows:
    """The outputs of one image by name -> their rows; float16 becomes float32, in which numpy is fast.

    Raises:
        ValueError: the outputs do not fit what is known of the model; the text names the key of model.toml to set.
    """
    if not spec.labels and not spec.output.names_classes:
        raise ValueError("the model's classes have no names: set labels in model.toml")
    floats = {name: _wide(values) for name, values in stacked(outputs, spec.output, input_size).items()}
    if spec.output.columns is None:
        return _separate(floats, spec)
    extra = _mask_numbers(floats, spec.output) + own_numbers(spec.output)
    maps = [values for name, values in floats.items() if values.ndim == 4 and name != spec.output.names.get("masks")]
    if spec.output.strides and len(maps) >= len(spec.output.strides):
        return _split(_from_maps(maps, spec, extra, input_size), spec)
    return _split(_matrix(_joined(floats, spec.output), spec, extra), spec)


def class_columns(spec: ModelSpec) -> int:
    """How many scores a row has: one per label, and the background's."""
    return len(spec.labels) + (spec.output.background != "none")


def own_numbers(output: OutputSpec) -> int:
    """How many numbers of keypoints, and how many angles, end a row of a joined output."""
    return keypoint_numbers(output) + output.oriented


def keypoint_numbers(output: OutputSpec) -> int:
    """How many numbers of a joined row are keypoints."""
    if output.keypoints is None or "keypoints" in output.names:
        return 0
    return output.keypoints[0] * output.keypoints[1]


def _wide(values: NDArray) -> NDArray:
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _mask_numbers(outputs: Mapping[str, NDArray], output: OutputSpec) -> int:
    """How many mask coefficients end a row: one per prototype [1, m, h, w]."""
    masks = outputs.get(output.names.get("masks", ""))
    return masks.shape[1] if masks is not None and masks.ndim == 4 else 0


def _joined(outputs: Mapping[str, NDArray], output: OutputSpec) -> NDArray:
    """The output named for boxes, else the first that does not hold masks."""
    others = [values for name, values in outputs.items() if name != output.names.get("masks")]
    return others[0] if others and "boxes" not in output.names else _output(outputs, output, "boxes")


def _width(spec: ModelSpec, extra: int) -> int:
    """How many numbers a joined row has."""
    columns = spec.output.columns
    assert columns is not None
    if columns in FIXED:
        return FIXED[columns] + extra
    return BESIDE[columns] + box_numbers(spec.output) + class_columns(spec) + extra


def _matrix(output: NDArray, spec: ModelSpec, extra: int) -> NDArray:
    """[1, N, K], [1, K, N] or without the 1 -> a view (N, K), told apart by which axis has a row's K numbers."""
    width = _width(spec, extra)
    if output.ndim >= 2 and prod(output.shape[:-2]) == 1:
        plain = output.reshape(output.shape[-2], output.shape[-1])
        views = (plain.T, plain) if spec.output.columns == "box scores" else (plain, plain.T)
        for view in views:  # where both axes have K, "box scores" is as Ultralytics exports it, transposed
            if view.shape[1] == width:
                return view
    raise _unfit(output, spec, extra)


def _from_maps(maps: list[NDArray], spec: ModelSpec, extra: int, input_size: Size) -> NDArray:
    """One map [1, K, h, w] or [1, h, w, K] per stride -> (n, K), in the order of the strides and row by row."""
    return np.concatenate([_map_of(maps, stride, spec, extra, input_size) for stride in spec.output.strides])


def _map_of(maps: list[NDArray], stride: int, spec: ModelSpec, extra: int, input_size: Size) -> NDArray:
    (columns, rows), width = grid_size(input_size, stride), _width(spec, extra)
    for values in maps:
        if values.shape == (1, width, rows, columns):
            return values.reshape(width, rows * columns).T
        if values.shape == (1, rows, columns, width):
            return values.reshape(rows * columns, width)
    raise ValueError(f"no output of shapes {[list(values.shape) for values in maps]} is the map of stride {stride}, "
                     f"{columns}x{rows} cells of {_described(spec, extra)}: "
                     "set labels, [output] columns, or [output] strides, in model.toml")


def _split(rows: NDArray, spec: ModelSpec) -> Rows:
    columns, end, box = spec.output.columns, _width(spec, 0), box_numbers(spec.output)
    extra = rows[:, end:]
    if columns == "box scores":
        return Rows(rows[:, :box], rows[:, box:end], extra=extra)
    if columns == "scores box":
        return Rows(rows[:, end - box:end], rows[:, :end - box], extra=extra)
    if columns == "box objectness scores":
        return Rows(rows[:, :box], rows[:, box + 1:end], objectness=rows[:, box], extra=extra)
    if columns == "objectness box scores":
        return Rows(rows[:, 1:box + 1], rows[:, box + 1:end], objectness=rows[:, 0], extra=extra)
    if columns == "box score class":
        return Rows(rows[:, :4], rows[:, 4:5], classes=rows[:, 5], extra=extra)
    if columns == "batch box score class":
        return Rows(rows[:, 1:5], rows[:, 5:6], classes=rows[:, 6], extra=extra)
    return Rows(rows[:, 1:5], rows[:, 6:7], classes=rows[:, 5], extra=extra)


def _separate(outputs: Mapping[str, NDArray], spec: ModelSpec) -> Rows:
    """Boxes, scores and maybe classes and objectness from outputs of their own."""
    boxes, scores = _output(outputs, spec.output, "boxes"), None
    if "scores" not in spec.output.names and boxes.shape[-1:] == (5,):  # MMDetection's dets: a box and its score
        boxes, scores = boxes[..., :4], boxes[..., 4]
    boxes = _as_wide(boxes, box_numbers(spec.output))
    scores = _per_row(_output(outputs, spec.output, "scores") if scores is None else scores, "scores", len(boxes),
                      1 if "classes" in spec.output.names else class_columns(spec))
    classes, objectness = (
        _per_row(_output(outputs, spec.output, role), role, len(boxes), 1)[:, 0] if role in spec.output.names else None
        for role in ("classes", "objectness"))
    return Rows(boxes, scores, objectness, classes)


def _output(outputs: Mapping[str, NDArray], output: OutputSpec, role: str) -> NDArray:
    name = output.names.get(role, "")
    if name not in outputs:
        raise ValueError(f"none of the outputs {', '.join(outputs)} is known to hold the {role}: "
                         f"set {role} in [output.names], or [output] columns, in model.toml")
    return outputs[name]


def _as_wide(boxes: NDArray, width: int) -> NDArray:
    """[1, N, 4], [N, 4], [1, N, 1, 4] or [1, 4, N] -> a view (N, 4), for boxes of another `width` likewise."""
    if boxes.shape[-1:] == (width,):
        return boxes.reshape(-1, width)
    if boxes.ndim >= 2 and boxes.shape[-2] == width and prod(boxes.shape[:-2]) == 1:
        return boxes.reshape(width, boxes.shape[-1]).T
    bins = "" if width == BOX else ", [output] bins"
    raise ValueError(f"output of shape {list(boxes.shape)} does not hold {width} box numbers a row: "
                     f"set boxes in [output.names]{bins}, or [output] columns, in model.toml")


def _per_row(values: NDArray, role: str, rows: int, columns: int) -> NDArray:
    """(rows, columns) of [1, N, C], [N, C] or [1, C, N], and of [1, N] or [N] where C is 1."""
    if values.size == rows * columns:
        if columns == 1 or values.shape[-2:] == (rows, columns):
            return values.reshape(rows, columns)
        if values.shape[-2:] == (columns, rows):
            return values.reshape(columns, rows).T
    raise ValueError(f"output of shape {list(values.shape)} does not hold {columns} {role} for each of {rows} boxes: "
                     f"set labels, [output] background, or {role} in [output.names], in model.toml")


def _unfit(output: NDArray, spec: ModelSpec, extra: int) -> ValueError:
    return ValueError(f"output of shape {list(output.shape)} does not hold {_described(spec, extra)} a row: "
                      "set labels, or [output] columns, in model.toml")


def _described(spec: ModelSpec, extra: int) -> str:
    """The numbers of a joined row in words."""
    classes, box = f"{class_columns(spec)} scores", f"{box_numbers(spec.output)} box numbers"
    parts = {"box scores": [box, classes], "scores box": [classes, box],
             "box objectness scores": [box, "objectness", classes],
             "objectness box scores": ["objectness", box, classes],
             "box score class": ["4 box numbers", "a score", "a class"],
             "batch box class score": ["a batch number", "4 box numbers", "a class", "a score"],
             "batch box score class": ["a batch number", "4 box numbers", "a score", "a class"],
             None: []}[spec.output.columns]
    counts = {"mask numbers": extra - own_numbers(spec.output), "keypoint numbers": keypoint_numbers(spec.output)}
    parts += [f"{count} {what}" for what, count in counts.items() if count] + ["an angle"] * spec.output.oriented
    *most, last = parts
    return f"{', '.join(most)} and {last}"
