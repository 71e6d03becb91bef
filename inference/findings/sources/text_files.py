"""Reading the small text files beside a model: bounded, and with errors that name the file."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from inference.errors import ModelNotUsable
from inference.findings.sources import LABELS_TXT, Claims
from inference.model_toml import problem

MAX_BYTES = 10 * 1024 * 1024  # a label list of a million entries; what is larger is no such file


class Document(BaseModel):
    """A JSON file of which we read a few keys; null stands for a key that is absent."""

    model_config = ConfigDict(extra="ignore", frozen=True)


DocumentT = TypeVar("DocumentT", bound=Document)


def read_json(kind: type[DocumentT], path: Path) -> DocumentT | None:
    """The file as a `kind`, None where there is none.

    Raises:
        ModelNotUsable: too large, not JSON, not an object, a key of another type; the text names file and key.
    """
    text = read_text(path)
    if text is None:
        return None
    content = _parsed(text, path.name)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ModelNotUsable(f"{path.name}, {problem(error, content)}: copy the file from the export again, "
                             f"or remove it and write model.toml") from error


def read_text(path: Path) -> str | None:
    """The file's text, None where there is none; raises ModelNotUsable for one that is too large or not UTF-8."""
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_BYTES:
        raise ModelNotUsable(f"{path.name} has more than {MAX_BYTES // 1024 // 1024} MB: "
                             "it is not the file that belongs beside a model, remove it")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelNotUsable(f"{path.name} is not UTF-8: save it as UTF-8") from error


def labels_txt(folder: Path) -> Claims | None:
    """One label a line; empty lines at the end do not count."""
    text = read_text(folder / LABELS_TXT)
    if text is None:
        return None
    labels = tuple(line.strip() for line in text.rstrip().splitlines())
    if not labels:
        raise ModelNotUsable(f"{LABELS_TXT} is empty: write one label a line, or remove it")
    return Claims(LABELS_TXT, {"labels": labels})


def _parsed(text: str, name: str) -> dict[str, Any]:
    """A JSON object, without nulls."""
    try:
        content = json.loads(text, object_hook=_without_nulls)
    except (ValueError, RecursionError) as error:
        raise ModelNotUsable(f"{name} is not JSON: {error}; copy it from the export again, or remove it") from error
    if not isinstance(content, dict):
        raise ModelNotUsable(f"{name} holds no JSON object: copy it from the export again, or remove it")
    return content


def _without_nulls(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None}
