"""A loaded model: what its session is fed for an image or some tiles of it, and what is read from the outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inference.call_off import CallOff
from inference.errors import InferenceFailed
from inference.findings.sources.onnx_inputs import PIXEL_MASK, TARGET_SIZES
from inference.geometry import Placement
from inference.hooks import Hooks
from inference.image import Pixels
from inference.model_info import ModelInfo
from inference.session import Session
from inference.spec import ModelSpec
from inference.tasks import Outputs, Task
from inference.transforms import look, to_array


@dataclass(frozen=True)
class LoadedModel:
    """A model that can predict; `constants` are the inputs beside the image, by name."""

    info: ModelInfo
    session: Session
    task: Task
    hooks: Hooks
    constants: Mapping[str, NDArray] = field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        return self.info.spec

    @property
    def batch(self) -> int:
        """How many tiles one run takes."""
        return self.spec.input.batch or (self.spec.tiling.batch if self.spec.tiling else 1)

    def parameters(self, given: Mapping[str, Any]) -> BaseModel:
        """Check what a caller gave for the model's task. Raises BadParameter."""
        return self.info.parameters(given)

    def feeds(self, pixels: Pixels, placements: Sequence[Placement],
              parameters: BaseModel | None = None) -> dict[str, NDArray]:
        """Every input by name; the image's input is filled up to the batch that the model takes.

        Raises:
            InferenceFailed: `preprocess` of hooks.py raised an error, or left an input out.
        """
        further = {**self.constants, **self._asked(parameters)}
        if self.hooks.preprocess is not None:
            return self._complete({**further, **self.hooks.inputs(np.asarray(pixels.image), self.spec)})
        wanted = self.spec.input
        arrays = [to_array(look(pixels, placement, wanted), wanted) for placement in placements]
        arrays += [arrays[-1]] * ((wanted.batch or len(arrays)) - len(arrays))
        batch = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        return {**self._further(further, batch, placements), wanted.name: batch if wanted.batched else batch[0]}

    def run(self, feeds: dict[str, NDArray], count: int, call_off: CallOff) -> list[Outputs]:
        """The outputs of each of `count` images, as if of a batch of one.

        Raises:
            InferenceFailed; the reason with which `call_off` was called.
        """
        outputs = self.session.run(feeds, call_off)
        batch = self.spec.input.batch or count
        if batch == 1 or self.hooks.preprocess is not None:
            return [outputs]
        if any(value.shape[:1] != (batch,) for value in outputs.values()):
            raise InferenceFailed(f"of {batch} images in one run the outputs do not tell which is whose: export the "
                                  "model for one image, or write batch = 1 below [tiling] in model.toml")
        return [{name: value[index:index + 1] for name, value in outputs.items()} for index in range(count)]

    def read(self, outputs: Outputs, pixels: Pixels, placement: Placement, parameters: BaseModel) -> Any:
        """The task's value of one run, in terms of the image."""
        value = self.task.read(outputs, self.spec, placement, parameters)
        if self.task.with_image is None:
            return value
        return self.task.with_image(value, pixels.image, self.spec, placement)

    def _asked(self, parameters: BaseModel | None) -> dict[str, NDArray]:
        """The further inputs that a caller sets, each in the form of its usual value."""
        return {own.input: np.full_like(self.constants[own.input], getattr(parameters, own.name))
                for own in self.spec.parameters if own.input and parameters is not None}

    def _complete(self, feeds: dict[str, NDArray]) -> dict[str, NDArray]:
        """What hooks.py made, once every input has a value."""
        missing = [tensor.name for tensor in self.info.inputs if tensor.name not in feeds]
        if missing:
            raise InferenceFailed(f"hooks.py, preprocess: input {missing[0]} has no value: return all inputs by name, "
                                  f"or write {missing[0]} = 0 (its value) below [constants] in model.toml")
        return feeds

    def _further(self, values: Mapping[str, NDArray], batch: NDArray,
                 placements: Sequence[Placement]) -> dict[str, NDArray]:
        """The extra inputs: DETR's pixel_mask by where each image is, RT-DETR's size by the input's where each image
        has its own, and of others a row for each image where their rows are open."""
        open_rows = {tensor.name for tensor in self.info.inputs
                     if tensor.shape and not isinstance(tensor.shape[0], int)}
        found = dict(values)
        for name, value in values.items():
            if name == PIXEL_MASK and value.ndim in (0, 3):
                found[name] = _mask(value, len(batch), placements)
            elif name == TARGET_SIZES and value.ndim == 0:
                found[name] = np.full((len(batch), 2), placements[0].input_size, value.dtype)
            elif name in open_rows and len(value) == 1:
                found[name] = np.repeat(value, len(batch), axis=0)
        return found


def _mask(value: NDArray, count: int, placements: Sequence[Placement]) -> NDArray:
    """`value` where each of `count` inputs shows its image, else 0; the last image fills the batch up."""
    width, height = placements[0].input_size
    rows, columns = value.shape[1:] or (height, width)  # some exports take a mask of fewer cells
    shown = np.zeros((count, rows, columns), value.dtype)
    for index in range(count):
        left, top, right, bottom = placements[min(index, len(placements) - 1)].target
        shown[index, round(top * rows / height):round(bottom * rows / height),
              round(left * columns / width):round(right * columns / width)] = 1
    return shown * value

