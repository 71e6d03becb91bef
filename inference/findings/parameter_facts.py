"""Decides which numbers of its own a model lets callers set: further inputs of one number, by model.toml or by the
metadata of the ONNX file; and, beside hooks.py, any that model.toml names."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from inference.errors import ModelNotUsable
from inference.findings.facts import Facts
from inference.findings.sources.onnx_inputs import told
from inference.model_toml import MODEL_TOML, PARAMETER_NAME, ModelToml, ParameterTable
from inference.parameters import task_parameters
from inference.spec import CallerParameter, Interface, ModelSpec, TensorInfo

METADATA = "ONNX metadata"
# Further fields of POST /predict.
RESERVED = ("model_type", "mode", "timeout", "img_file", "image", "file", "data", "webhook", "webhook_events_filter")
RANGE = ("default", "minimum", "maximum")
WHOLE = ("INT64", "INT32", "INT8", "UINT8")
FLOATS = ("FP64", "FP32", "FP16")


def caller_parameters(written: ModelToml, model: Interface, image: str, has_hooks: bool) -> tuple[CallerParameter, ...]:
    """Those of model.toml, then those that the metadata announce: a key of an input's name whose value is a number, or
    an object of default, minimum and maximum.

    Raises:
        ModelNotUsable: an input of model.toml does not exist, or takes no such number.
    """
    others = {tensor.name: tensor for tensor in model.inputs if tensor.name != image}
    own = [_written(name, table, others, has_hooks) for name, table in written.parameters.items()]
    for parameter in own:
        if parameter.input in written.constants:
            raise ModelNotUsable(f"model.toml, parameters.{parameter.name}: input {parameter.input} has a value below "
                                 "[constants], too: remove that one, default is its value")
    taken = {parameter.input for parameter in own} | {parameter.name for parameter in own} | written.constants.keys()
    announced = [tensor for tensor in others.values() if tensor.name not in taken and model.graph.reads(tensor.name)]
    return (*own, *_announced(announced, model.metadata))


def values_of(parameters: tuple[CallerParameter, ...]) -> Mapping[str, Any]:
    """The value of each further input where no caller sets one."""
    return {parameter.input: parameter.default for parameter in parameters if parameter.input}


def record(facts: Facts, spec: ModelSpec, written: ModelToml) -> None:
    """Note where each parameter came from, and refuse a name that a request has already."""
    for parameter in spec.parameters:
        if _is_taken(parameter.name, spec):
            facts.refuse(f"parameters.{parameter.name}: a request has another field of this name: write another name "
                         f'below [parameters] in model.toml, and input = "{parameter.input}"')
        source = MODEL_TOML if parameter.name in written.parameters else METADATA
        known = {key: getattr(parameter, key) for key in RANGE if getattr(parameter, key) is not None}
        facts.pick(f"parameters.{parameter.name}", (source, known))


def _is_taken(name: str, spec: ModelSpec) -> bool:
    kind = task_parameters(spec)
    return name in RESERVED or name in kind.model_fields or hasattr(kind, name)


def _written(name: str, table: ParameterTable, others: Mapping[str, TensorInfo], has_hooks: bool) -> CallerParameter:
    where, tensor = f"model.toml, parameters.{name}", others.get(table.input or name)
    if tensor is None and (table.input or not has_hooks):
        raise ModelNotUsable(f"{where}: the model has no further input of this name; it has "
                             f"{', '.join(others) or 'none'}: write the input's name as input = \"…\"")
    if tensor is not None and not _is_number(tensor):
        raise ModelNotUsable(f"{where}: input {told(tensor)} {tensor.datatype} takes more than one number: write its "
                             "values below [constants]")
    value = _value(table.default, tensor)
    if value is None or not _in_range(value, table.minimum, table.maximum):
        raise ModelNotUsable(f"{where}: default = {table.default} is not what it takes: "
                             f"{_expected(tensor, table)}")
    return CallerParameter(name, tensor.name if tensor else "", value, table.minimum, table.maximum)


def _announced(inputs: list[TensorInfo], metadata: Mapping[str, str]) -> Iterator[CallerParameter]:
    for tensor in inputs:
        told = _read(metadata.get(tensor.name, ""))
        value = _value(told.get("default"), tensor)
        low, high = told.get("minimum"), told.get("maximum")
        if _is_number(tensor) and re.match(PARAMETER_NAME, tensor.name) and value is not None \
                and _in_range(value, low, high):
            yield CallerParameter(tensor.name, tensor.name, value, low, high)


def _read(text: str) -> dict[str, Any]:
    """A number, or an object that tells one and its range, all others as nothing."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    found = content if isinstance(content, dict) else {"default": content}
    return {key: value for key, value in found.items() if key in RANGE and isinstance(value, bool | int | float)}


def _is_number(tensor: TensorInfo) -> bool:
    """Whether an input takes one number; an open side, mostly the batch's, is 1."""
    return all(side == 1 or not isinstance(side, int) for side in tensor.shape)


def _value(given: Any, tensor: TensorInfo | None) -> bool | int | float | None:
    """The number in the type of its input, None where it is none of that type."""
    kind = None if tensor is None else tensor.datatype
    if isinstance(given, bool):
        return given if kind in (None, "BOOL") else None
    if not isinstance(given, int | float) or kind == "BOOL":
        return None
    if kind in WHOLE:
        return int(given) if given == int(given) else None
    return float(given) if kind in FLOATS else given if kind is None else None


def _in_range(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _expected(tensor: TensorInfo | None, table: ParameterTable) -> str:
    kind = "a number" if tensor is None else f"a number for {told(tensor)} {tensor.datatype}"
    bounds = [f"{word} {value:g}" for word, value in (("from", table.minimum), ("to", table.maximum))
              if value is not None]
    return " ".join(("write", kind, *bounds))
