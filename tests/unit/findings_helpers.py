"""What the tests of findings share: a model's interface, its files, and what is found out from them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.findings import Found, find_out
from inference.model_toml import MODEL_TOML, read_toml
from inference.spec import Interface, ModelSpec, TensorInfo

Shape = tuple[int | str | None, ...]
IMAGE = (1, 3, 32, 48)


def tensors(given: Mapping[str, Shape], types: Mapping[str, str]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(name, shape, types.get(name, "FP32")) for name, shape in given.items())


def found(*args: Any, **kwargs: Any) -> ModelSpec:
    """The spec of what `found_with_constants` finds out."""
    return found_with_constants(*args, **kwargs).spec


def found_with_constants(folder: Path, outputs: Mapping[str, Shape], inputs: Mapping[str, Shape] | None = None,
                         toml: str = "", metadata: Mapping[str, str] | None = None,
                         types: Mapping[str, str] | None = None, files: Mapping[str, Any] | None = None) -> Found:
    """What is found out of a model: `files` are written as JSON, or as they are where they are texts."""
    (folder / MODEL_TOML).write_text(toml)
    for name, content in (files or {}).items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    types = types or {}
    model = Interface(tensors({"image": IMAGE} if inputs is None else inputs, types), tensors(outputs, types),
                      metadata or {})
    return find_out("leaf", "1", folder, read_toml(folder / MODEL_TOML), model)


def source_of(spec: ModelSpec, fact: str) -> str:
    return next(finding.source for finding in spec.findings if finding.fact == fact)


def value_of(spec: ModelSpec, fact: str) -> Any:
    return next(finding.value for finding in spec.findings if finding.fact == fact)
