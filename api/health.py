"""/livez and /readyz, open to everybody; and the paths of the service that are announced for later."""

from flask import Blueprint, Response, request

from api.errors import NotImplementedYet
from api.services import services

blueprint = Blueprint("health", __name__)
OPEN_ENDPOINTS = ("health.livez", "health.readyz")


@blueprint.get("/livez")
def livez() -> dict:
    return {"status": "alive"}


@blueprint.get("/readyz")
def readyz() -> dict:
    services().check_open()
    return {"status": "ready"}


@blueprint.get("/")
@blueprint.get("/metrics")
@blueprint.get("/openapi.json")
@blueprint.get("/docs")
def later() -> Response:
    raise NotImplementedYet(f"{request.path} is not built yet; GET /models tells what is served")
