"""What is known of a model when its outputs are looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.evidence import Evidence, Shown
from inference.model_toml import Layout
from inference.spec import Size, TensorInfo

INTEGERS = ("INT64", "INT32", "UINT8", "INT8", "BOOL")
Facts = dict[str, Any]
Named = Mapping[str, TensorInfo]


@dataclass(frozen=True)
class Seen:
    """What is known when the outputs are looked at. Sides of the input are None where they are open; `evidence` is
    empty where the model was not run on test images."""

    outputs: Named
    layout: Layout
    sides: tuple[int | None, int | None]
    channels: int
    size: Size | None
    labels: int | None
    evidence: Evidence = field(default_factory=dict)
    tested: Size | None = None  # of the test images

    def shown(self, output: TensorInfo | None) -> Shown | None:
        """What an output showed on the test images; None where the model was not run."""
        return None if output is None else self.evidence.get(output.name)

    @property
    def only(self) -> TensorInfo | None:
        return next(iter(self.outputs.values())) if len(self.outputs) == 1 else None


def first(seen: Seen) -> TensorInfo | None:
    return next(iter(seen.outputs.values()), None)


def last(tensor: TensorInfo) -> int | None:
    side = tensor.shape[-1] if tensor.shape else None
    return side if isinstance(side, int) else None
