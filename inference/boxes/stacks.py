"""Outputs of one role, one for each stride -> one output that has them one behind the other. Pure."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from inference.boxes.encodings import MOST_OF_A_CELL, grid_size
from inference.spec import OutputSpec, Size


def stack_name(role: str) -> str:
    """The name under which the outputs of a role are laid together."""
    return f"{role} of all strides"


def stacked(outputs: Mapping[str, NDArray], output: OutputSpec, input_size: Size) -> Mapping[str, NDArray]:
    """The outputs by name, those of each stack as one (1, n, k); the same where the model has no stacks.

    Raises:
        ValueError: an output is missing, or has not one or two rows for each cell of its stride.
    """
    missing = {role: names for role, names in output.stacks.items() if stack_name(role) not in outputs}
    if not missing:
        return outputs
    parts = {name for names in missing.values() for name in names}
    others = {name: values for name, values in outputs.items() if name not in parts}
    return others | {stack_name(role): _joined(role, names, outputs, output.strides, input_size)
                     for role, names in missing.items()}


def _joined(role: str, names: tuple[str, ...], outputs: Mapping[str, NDArray], strides: tuple[int, ...],
            input_size: Size) -> NDArray:
    return np.concatenate([_rows(role, name, outputs[name], grid_size(input_size, stride))
                           for name, stride in zip(names, strides, strict=True)])[np.newaxis]


def _rows(role: str, name: str, values: NDArray, grid: Size) -> NDArray:
    """[1, n, k], [n, k], [n], [1, k, n], [1, k, rows, columns] or [1, rows, columns, k] -> (n, k), n being one or two
    for each cell of the `grid` of columns and rows."""
    (columns, rows), plain = grid, values[0] if values.ndim > 1 and len(values) == 1 else values
    if plain.ndim == 3 and plain.shape[1:] == (rows, columns):
        return plain.reshape(len(plain), -1).T
    if plain.ndim == 3 and plain.shape[:2] == (rows, columns):
        return plain.reshape(rows * columns, -1)
    counts = [columns * rows * shared for shared in range(1, MOST_OF_A_CELL + 1)]
    flat = plain.reshape(-1, 1) if plain.ndim == 1 else plain
    if flat.ndim == 2 and flat.shape[0] in counts:
        return flat
    if flat.ndim == 2 and flat.shape[1] in counts:
        return flat.T
    raise ValueError(f"output '{name}' of shape {list(values.shape)} has not one or two rows for each of "
                     f"{columns}x{rows} cells: set {role} in [output.names] in the order of [output] strides, "
                     "in model.toml")
