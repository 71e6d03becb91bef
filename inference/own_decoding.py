"""The built-in tasks, to be called by a hooks.py that arranges a model's outputs by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray
from pydantic import ValidationError

from inference.boxes.encodings import ON_A_GRID
from inference.boxes.stacks import stack_name
from inference.geometry import Placement
from inference.model_toml import OutputTable, TaskName, problem
from inference.parameters import task_parameters
from inference.spec import ModelSpec, OutputSpec
from inference.tasks import task_of

USUAL_STRIDES = (8, 16, 32)

@dataclass(frozen=True)
class Decoder:
    """Reads outputs as a task does, for one image."""

    spec: ModelSpec
    placement: Placement
    parameters: Mapping[str, Any]

    def __call__(self, outputs: Mapping[str, NDArray], task: TaskName | None = None, **keys: Any) -> dict:
        """The result of `task`, or of the model's own, as `predictions` and what else belongs to it.

        Args:
            outputs: arrays by name, batch axis included: the model's, or others.
            keys: those of `[output]` in model.toml, such as columns, boxes, names; a caller's parameters count, too.

        Raises:
            ValueError: an unknown key or a wrong value; outputs that do not fit.
        """
        spec = replace(self.spec, task=task or self.spec.task, output=_output(keys))
        kind = task_parameters(spec)
        asked = kind(**{name: value for name, value in self.parameters.items() if name in kind.model_fields})
        reading = task_of(spec)
        value = reading.read(outputs, spec, self.placement, asked)
        return reading.result(value, spec, self.placement.image_size, asked)


def _output(keys: Mapping[str, Any]) -> OutputSpec:
    """The keys of a call as what the outputs mean; activation is "none" where none is given."""
    try:
        written = OutputTable.model_validate(keys)
    except ValidationError as error:
        raise ValueError(problem(error, keys)) from error
    facts = written.model_dump(exclude={"names"}, exclude_none=True)
    named = written.names.model_dump(exclude_none=True)
    stacks = {role: names for role, names in named.items() if isinstance(names, tuple)}
    names = {role: stack_name(role) if role in stacks else name for role, name in named.items()}
    if written.boxes == "dfl" and written.bins is None:
        raise ValueError("bins: how many numbers tell one of the four distances of a dfl box, such as 8")
    if written.strides is None and (written.boxes in ON_A_GRID or stacks):
        facts["strides"] = USUAL_STRIDES
    return OutputSpec(names, stacks=stacks, **facts)
