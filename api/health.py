"""/livez and /readyz, open to everybody; and /version."""

from flask import Blueprint, Response, request

import probes
from api import answers
from api.problems import Starting
from api.services import services
from version import VERSION

blueprint = Blueprint("health", __name__)
OPEN_ENDPOINTS = ("health.livez", "health.readyz")


@blueprint.get("/livez")
def livez() -> Response:
    return answers.json({"status": "alive"})


@blueprint.get("/readyz")
def readyz() -> Response:
    service = services()
    service.drain.check_ready()
    if not service.catalogue.is_ready:
        raise Starting("models are still being loaded; try again in a few seconds")
    if request.headers.get("User-Agent") != probes.OWN:
        probes.note(service.settings.state.probes, request.remote_addr or "")  # who waits for a start asks no more
    return answers.json({"status": "ready"})


@blueprint.get("/version")
def version() -> Response:
    return answers.json({"version": VERSION})
