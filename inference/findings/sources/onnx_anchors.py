"""YOLOv2's grid, which tells boxes by anchors that stand in no file: Custom Vision's domain "General (compact)"."""

from inference.errors import ModelNotUsable
from inference.findings.sources.seen import Seen
from inference.spec import TensorInfo

ANCHORS, STRIDE = 5, 32  # boxes of a cell, and its pixels
BOX_AND_OBJECTNESS = 5


def refuse_anchors(output: TensorInfo, seen: Seen) -> None:
    """Raises ModelNotUsable: each cell has five boxes, each with an objectness and a score for each label."""
    shown = seen.shown(output)
    if shown is None or seen.labels is None or seen.size is None or len(shown.shape) != 4:
        return
    cells = tuple(side // STRIDE for side in reversed(seen.size))
    if shown.shape[1:] == (ANCHORS * (BOX_AND_OBJECTNESS + seen.labels), *cells):
        raise ModelNotUsable(f"output {output.name} is the grid of a YOLOv2, whose five anchors are in no file: decode "
                             "it in a hooks.py, or export the model with its boxes (Custom Vision: a domain \"[S1]\")")
