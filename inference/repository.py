"""The models folder on disk: which models there are, and which version of each serves."""

import re
from dataclasses import dataclass
from pathlib import Path

MODEL_FILE = "model.onnx"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class ModelFiles:
    """Where one model lies. `onnx` is None where the folder has no model file; `reason` says what to do then."""

    name: str
    version: str
    folder: Path
    onnx: Path | None
    reason: str = ""


def scan(models_dir: Path) -> list[ModelFiles]:
    """All models below `models_dir`, by name; hidden folders and loose files are passed over."""
    if not models_dir.is_dir():
        return []
    folders = sorted(path for path in models_dir.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [_model_files(folder) for folder in folders]


def _model_files(folder: Path) -> ModelFiles:
    if not NAME.fullmatch(folder.name):
        return ModelFiles(folder.name, "", folder, None,
                          "rename the folder: letters, digits, '.', '_' and '-', at most 100")
    version = _highest_version(folder)
    onnx = folder / version / MODEL_FILE if version else folder / MODEL_FILE
    if not onnx.is_file():
        return ModelFiles(folder.name, "", folder, None, f"no {MODEL_FILE} in the folder: put the model there")
    return ModelFiles(folder.name, version or "1", folder, onnx)


def _highest_version(folder: Path) -> str:
    """The numbered subfolder that serves, by number; empty where there is none."""
    versions = [path.name for path in folder.iterdir() if path.name.isdecimal() and (path / MODEL_FILE).is_file()]
    return max(versions, key=int, default="")
