"""What the parent and the templates tell each other about a generation: which models it is to hold."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference.model_info import ModelInfo
from inference.registry import Candidate
from inference.repository import ModelFiles

Key = tuple[str, str, str]  # name, version and fingerprint of a model


def key_of(info: ModelInfo) -> Key:
    """What tells a model from all others, also from the one of its name that comes next."""
    return info.spec.name, info.spec.version, info.fingerprint


def candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    files = asdict(candidate.files) | {"folder": str(candidate.files.folder), "onnx": str(candidate.files.onnx)}
    return {"files": files, "info": candidate.info.to_json()}


def candidate_from_json(values: Mapping[str, Any]) -> Candidate:
    files = values["files"]
    paths = {"folder": Path(files["folder"]), "onnx": Path(files["onnx"])}
    return Candidate(ModelFiles(**files | paths), ModelInfo.from_json(values["info"]))
