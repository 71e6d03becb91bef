"""Decides what a detector's boxes are told by where they belong to the cells of a grid, or lie in several outputs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inference.boxes.encodings import BOX, ON_A_GRID
from inference.boxes.rows import BESIDE
from inference.boxes.stacks import stack_name
from inference.findings.facts import Facts
from inference.findings.sources import DEFAULT, ONNX_SHAPES
from inference.findings.sources.seen import Seen
from inference.model_toml import Columns
from inference.spec import TensorInfo

STRIDES = (8, 16, 32, 64, 128)
USUAL_STRIDES = 3
BINS_ADVICE = "add bins = 8 (the numbers that tell one of four distances) below [output] in model.toml"
Stacks = Mapping[str, tuple[str, ...]]


def laid_together(seen: Seen, stacks: Stacks) -> Seen:
    """What is known of the model as if it had one output for each stack."""
    joined = {stack_name(role): _joined(stack_name(role), [seen.outputs[name] for name in names])
              for role, names in stacks.items()}
    return replace(seen, outputs={**seen.outputs, **joined}) if joined else seen


def cell_facts(facts: Facts, names: Mapping[str, str], stacks: Stacks, columns: Columns | None, boxes: str,
               seen: Seen) -> dict[str, Any]:
    """The facts of boxes, or of stacks, that depend on cells; nothing for other models."""
    found: dict[str, Any] = {}
    if boxes in ON_A_GRID or stacks or facts.first("strides") is not None:
        usual = STRIDES[:max(map(len, stacks.values()), default=USUAL_STRIDES)]
        found["strides"] = tuple(facts.decide("strides", (DEFAULT, usual)))
        _check(facts, stacks, found["strides"])
    if boxes in ("ltrb", "dfl"):
        found["point"] = facts.decide("point", (DEFAULT, "center"))
    if boxes == "dfl":
        found["bins"] = facts.decide("bins", (ONNX_SHAPES, _bins(names, columns, seen)), advice=BINS_ADVICE, stand_in=8)
    if facts.first("combined") is not None:
        found["combined"] = facts.decide("combined")
    return found


def _joined(name: str, parts: list[TensorInfo]) -> TensorInfo:
    """[1, n, k]: how many rows there are depends on the image's size."""
    shapes = [part.shape[-3:] if len(part.shape) == 4 else part.shape[-2:] for part in parts]
    shared = set.intersection(*({side for side in shape if isinstance(side, int)} for shape in shapes))
    width = 1 if all(len(shape) == 1 for shape in shapes) else min(shared, default=None)
    return TensorInfo(name, (1, None, width), parts[0].datatype)


def _bins(names: Mapping[str, str], columns: Columns | None, seen: Seen) -> int | None:
    """By the numbers of a box, or by what the labels leave of a row; None where that is no multiple of four."""
    if columns is not None and seen.labels is None:
        return None
    output = seen.outputs.get(names.get("boxes", "")) or seen.only
    taken = 0 if columns is None else BESIDE.get(columns, 0) + (seen.labels or 0)
    sides = [side - taken for side in (output.shape[1:] if output else ()) if isinstance(side, int)]
    fitting = [side // BOX for side in sides if side > BOX and side % BOX == 0]
    return min(fitting, default=None)


def _check(facts: Facts, stacks: Stacks, strides: tuple[int, ...]) -> None:
    """Refuse more or fewer outputs of a role than there are strides."""
    for role, names in stacks.items():
        if len(names) != len(strides):
            facts.refuse(f"model.toml, output.names.{role}: {len(names)} output{'s' * (len(names) > 1)} for "
                         f"{len(strides)} strides ({', '.join(map(str, strides))}): write strides below [output] in "
                         "model.toml, and an output of each role for each of them")
