"""/models: what is served, what is not and why."""

from typing import Any

from flask import Blueprint

from api.services import services
from inference.engine import ModelEntry
from inference.model import LoadedModel

blueprint = Blueprint("models", __name__)


@blueprint.get("/models")
def index() -> dict:
    return {"models": [_summary(entry) for entry in services().engine.entries]}


@blueprint.get("/models/<model_type>")
def show(model_type: str) -> dict:
    engine = services().engine
    entry = engine.entry(model_type)
    details = {} if entry.model is None else _details(entry.model) | {"cost": engine.cost(entry.model)}
    return _summary(entry) | details


def _summary(entry: ModelEntry) -> dict[str, Any]:
    summary: dict[str, Any] = {"name": entry.files.name, "version": entry.files.version, "state": entry.state}
    if entry.model is not None:
        summary["task"] = entry.model.spec.task
    return summary | ({"reason": entry.reason} if entry.reason else {})


def _details(model: LoadedModel) -> dict[str, Any]:
    return {"inputs": [tensor.to_dict() for tensor in model.session.interface.inputs],
            "outputs": [tensor.to_dict() for tensor in model.session.interface.outputs],
            "labels": list(model.spec.labels),
            "findings": [finding.to_dict() for finding in model.spec.findings]}
