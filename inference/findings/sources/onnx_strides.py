"""Detectors that write an output of each role for each stride, by the names and shapes of these: YuNet, SCRFD and
NanoDet."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from inference.boxes.encodings import BOX, MOST_OF_A_CELL, grid_size
from inference.findings.sources.onnx_families import FACES, NANODET, SCRFD, YUNET, distributed
from inference.findings.sources.seen import Facts, Seen
from inference.spec import Size, TensorInfo

# Such as cls_8, bbox_16, kps_32, cls_pred_stride_8: a word of the role first, the stride last.
NAME = re.compile(r"(?P<word>[a-z]+)(?:_[a-z]+)*_?(?P<stride>\d{1,3})", re.IGNORECASE)
ROLES = {"cls": "scores", "score": "scores", "scores": "scores", "conf": "scores",
         "obj": "objectness", "objectness": "objectness",
         "bbox": "boxes", "box": "boxes", "boxes": "boxes", "dis": "boxes", "reg": "boxes",
         "kps": "keypoints", "kpt": "keypoints", "landmark": "keypoints", "landmarks": "keypoints"}
STRIDES = (8, 16, 32, 64, 128)
FACE_NUMBERS = 10  # of five points
FACE_ROLES = {1: "scores", BOX: "boxes", FACE_NUMBERS: "keypoints"}  # by the numbers of a row
NANODET_NUMBERS = 32  # of a box: 8 for each distance
LEAST_STRIDES = 3
USUAL_SIDE = 640  # pixels; insightface's own det_size


@dataclass(frozen=True)
class Stacks:
    """The outputs of each role in the order of the `strides`, and the numbers of a row of each role."""

    names: Mapping[str, tuple[str, ...]]
    strides: tuple[int, ...]
    widths: Mapping[str, int | None]

    @property
    def roles(self) -> set[str]:
        return set(self.names)


def stride_facts(seen: Seen) -> Facts | None:
    """The facts of a detector with several outputs of each role; None for another model."""
    stacks = _by_names(seen) or _by_shapes(seen)
    if stacks is None:
        return None
    facts: Facts = {"names": dict(stacks.names), "strides": stacks.strides, "units": "pixels", "background": "none",
                    "nms": "per-class"}
    family = _family(stacks, seen)
    are_scores = _are_scores(stacks, seen)
    if family is None:  # what its boxes mean, and what makes scores of logits, is asked for
        return facts | ({"activation": "none"} if are_scores else {"activation_is_open": True})
    return facts | family | {"activation": "none" if are_scores else "sigmoid"}


def _family(stacks: Stacks, seen: Seen) -> Facts | None:
    roles, box, points = stacks.roles, stacks.widths["boxes"], stacks.widths.get("keypoints")
    if roles == {"boxes", "scores", "objectness", "keypoints"} and (box, points) == (BOX, FACE_NUMBERS):
        return _yunet(seen)
    if box == BOX and stacks.widths["scores"] == 1 and points in (None, FACE_NUMBERS) and "objectness" not in roles:
        return _scrfd(stacks, seen)
    if roles == {"boxes", "scores"} and box is not None and box > BOX and box % BOX == 0:
        return NANODET | distributed(box, stacks.strides)
    return None


def _are_scores(stacks: Stacks, seen: Seen) -> bool:
    """Whether the test images show no logits."""
    shown = [seen.shown(seen.outputs[name]) for role in ("scores", "objectness") for name in stacks.names.get(role, ())]
    return all(one is None or one.lie_in_0_to_1 for one in shown)


def _yunet(seen: Seen) -> Facts:
    """Where it takes any size the image keeps its own, filled up to the largest stride (cv::FaceDetectorYN)."""
    own_size: Facts = {"resize": "fit", "multiple_of": 32, "rounding": None} if seen.sides == (None, None) else {}
    return FACES | YUNET | own_size


def _scrfd(stacks: Stacks, seen: Seen) -> Facts:
    points: Facts = FACES if "keypoints" in stacks.names else {key: FACES[key] for key in ("labels", "threshold")}
    size = _size_of(stacks, seen) or (USUAL_SIDE, USUAL_SIDE)
    return points | SCRFD | ({"size": size} if None in seen.sides else {})


def _size_of(stacks: Stacks, seen: Seen) -> Size | None:
    """The sides of a square input, by the rows that the file tells; those of an open export are of the traced size."""
    told = seen.outputs[stacks.names["boxes"][0]].shape
    rows = next((side for side in told if isinstance(side, int) and side > FACE_NUMBERS), 0)
    for shared in range(1, MOST_OF_A_CELL + 1):
        side = round((rows / shared) ** 0.5)
        if side and side * side * shared == rows:
            return side * stacks.strides[0], side * stacks.strides[0]
    return None


def _by_names(seen: Seen) -> Stacks | None:
    """All outputs bear names of one role and stride each, and each role has the same strides."""
    found: dict[str, dict[int, str]] = {}
    for name in seen.outputs:
        told = NAME.fullmatch(name)
        role = None if told is None else ROLES.get(told["word"].lower())
        if told is None or role is None or found.setdefault(role, {}).setdefault(int(told["stride"]), name) != name:
            return None
    if not {"boxes", "scores"} <= found.keys():
        return None
    strides = tuple(sorted(found["boxes"]))
    if not set(strides) <= set(STRIDES) or any(set(names) != set(strides) for names in found.values()):
        return None
    names = {role: tuple(by_stride[stride] for stride in strides) for role, by_stride in found.items()}
    return Stacks(names, strides, {role: _width(seen, some) for role, some in names.items()})


def _by_shapes(seen: Seen) -> Stacks | None:
    """insightface's own files have no names, and what was simplified has others: the rows of an output are one or two
    for each cell of its stride, and their numbers tell its role."""
    groups = _by_width(seen)
    roles = _roles(set(groups))
    counts = {tuple(rows for rows, _ in group) for group in groups.values()}
    if len(counts) != 1 or not roles:
        return None
    [rows] = counts
    strides = STRIDES[:len(rows)]
    if not LEAST_STRIDES <= len(rows) == len(strides) or not _are_of_cells(rows, strides, seen):
        return None
    return Stacks({roles[width]: tuple(name for _, name in group) for width, group in groups.items()}, strides,
                  {roles[width]: width for width in groups})


def _roles(widths: set[int]) -> dict[int, str]:
    """The roles of outputs by the numbers of a row: those of SCRFD, or of NanoDet; nothing for others."""
    if {1, BOX} <= widths <= FACE_ROLES.keys():
        return FACE_ROLES
    others = widths - {NANODET_NUMBERS}
    return {NANODET_NUMBERS: "boxes", others.pop(): "scores"} if len(widths) == 2 and len(others) == 1 else {}


def _by_width(seen: Seen) -> dict[int, list[tuple[int, str]]]:
    """The rows and names of the outputs [n, k] or [1, n, k] by their k, the most rows first; nothing where there is an
    output of another form."""
    groups: dict[int, list[tuple[int, str]]] = {}
    for name, tensor in seen.outputs.items():
        shape = _shape(seen, tensor)
        rows, width = shape[-2:] if len(shape) in (2, 3) and shape[:-2] in ((), (1,)) else (None, None)
        if not isinstance(rows, int) or not isinstance(width, int):
            return {}
        groups.setdefault(width, []).append((rows, name))
    return {width: sorted(group, reverse=True) for width, group in groups.items()}


def _are_of_cells(rows: tuple[int, ...], strides: tuple[int, ...], seen: Seen) -> bool:
    """Whether so many rows are one or two for each cell, of the tested size or, where that is open, of any."""
    size = seen.tested.size if seen.tested and seen.tested.size else seen.size
    if size is None:
        return all(finer == 4 * coarser for finer, coarser in pairwise(rows))
    cells = [columns * lines for columns, lines in (grid_size(size, stride) for stride in strides)]
    return any(rows == tuple(count * shared for count in cells) for shared in range(1, MOST_OF_A_CELL + 1))


def _shape(seen: Seen, tensor: TensorInfo) -> tuple[int | str | None, ...]:
    """The shape that a test image showed, else that which the file tells."""
    shown = seen.shown(tensor)
    return tensor.shape if shown is None else shown.shape


def _width(seen: Seen, names: tuple[str, ...]) -> int | None:
    """The numbers of a row: the side that all outputs of a role share."""
    shapes = [_shape(seen, seen.outputs[name]) for name in names]
    if all(len(shape) == 1 for shape in shapes):
        return 1
    sides = [{side for side in shape[-3 if len(shape) == 4 else -2:] if isinstance(side, int)} for shape in shapes]
    shared = set.intersection(*sides)
    return shared.pop() if len(shared) == 1 else None
