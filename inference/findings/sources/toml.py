"""What `model.toml` says, in the same form as every other source."""

from typing import Any

from inference.findings.sources import Claims
from inference.model_toml import MODEL_TOML, InputTable, ModelToml, SizeTable
from inference.spec import Size

# Handled on their own: the input's name and the names of outputs are checked against the ONNX file.
NOT_FACTS = {"name", "names", "size"}


def claims(toml: ModelToml) -> Claims:
    """The facts that a person wrote."""
    top = {"task": toml.task, "labels": toml.labels, "size": _size(toml.input)}
    tables = {**_written(toml.input), **_written(toml.output)}
    names = toml.output.names.model_dump(exclude_none=True)
    facts = {**top, **tables, "names": names or None, "name": toml.input.name}
    return Claims(MODEL_TOML, {fact: value for fact, value in facts.items() if value is not None})


def _written(table: Any) -> dict[str, Any]:
    return {key: getattr(table, key) for key in type(table).model_fields if key not in NOT_FACTS}


def _size(table: InputTable) -> Size | None:
    if isinstance(table.size, SizeTable):
        return table.size.width, table.size.height
    return None if table.size is None else (table.size, table.size)
