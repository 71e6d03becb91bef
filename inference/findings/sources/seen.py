"""What is known of a model when its outputs are looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evidence import Evidence, Shown
from inference.model_toml import Layout
from inference.spec import InputSpec, Size, TensorInfo

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
    tested: InputSpec | None = None  # how the test images were made

    @property
    def answers(self) -> Mapping[str, NDArray[np.generic]]:
        """The outputs for the first test image, as if of a batch of one."""
        batched = self.tested is not None and self.tested.batch not in (None, 1)
        return {name: shown.values[0][:1] if batched else shown.values[0] for name, shown in self.evidence.items()}

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
