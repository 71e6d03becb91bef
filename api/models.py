"""/models: what is served, what is not and why."""

from typing import Any

from flask import Blueprint, Response

from api import answers
from api.services import Services, services
from inference.model_info import ModelInfo
from predictors.catalogue import Entry

blueprint = Blueprint("models", __name__)


@blueprint.get("/models")
def index() -> Response:
    service = services()
    service.check_started()
    return answers.json({"models": [_summary(entry) for entry in service.catalogue.entries]})


@blueprint.get("/models/<model_type>")
def show(model_type: str) -> Response:
    service = services()
    service.check_started()
    return answers.json(document(service, service.catalogue.entry(model_type)))


def document(service: Services, entry: Entry) -> dict[str, Any]:
    """All that is known of a model."""
    details = {} if entry.model is None else _details(entry.model) | {"cost": service.costs.of(entry.model)}
    return _summary(entry) | details


def _summary(entry: Entry) -> dict[str, Any]:
    summary: dict[str, Any] = {"name": entry.name, "version": entry.version, "state": entry.state}
    if entry.model is not None:
        summary["task"] = entry.model.spec.task
    return summary | ({"reason": entry.reason} if entry.reason else {})


def _details(model: ModelInfo) -> dict[str, Any]:
    return {"inputs": [tensor.to_dict() for tensor in model.inputs],
            "outputs": [tensor.to_dict() for tensor in model.outputs],
            "labels": list(model.spec.labels),
            "parameters": [parameter.to_dict() for parameter in model.spec.parameters],
            "warnings": list(model.spec.warnings),
            "findings": [finding.to_dict() for finding in model.spec.findings]}
