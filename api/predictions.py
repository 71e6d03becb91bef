"""POST /predict: an image in, an answer or a job out."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, request
from pydantic import BaseModel

from api import answers, pictures, preferences
from api.admission import Decision, decide
from api.answers import Wanted
from api.bodies import release
from api.errors import BadRequest, NotImplementedYet
from api.lanes import HUB_BYTES
from api.preferences import Preference
from api.services import Services, services
from inference.image import OpenedImage
from inference.model import LoadedModel
from jobs.queue import JobRequest
from jobs.record import JobRecord

blueprint = Blueprint("predictions", __name__)
JPEG_START = b"\xff\xd8"
LATER_FIELDS = ("webhook",)
LATER_HEADERS = ("Idempotency-Key",)


@dataclass(frozen=True)
class Call:
    """A checked request: which model, which image, how to answer, and in which media type."""

    model_type: str
    model: LoadedModel
    image: OpenedImage
    parameters: BaseModel
    preference: Preference
    wanted: Wanted


@blueprint.post("/predict")
@blueprint.post("/models/<model_type>/predict")
def predict(model_type: str | None = None) -> Response:
    service, arrived = services(), time.perf_counter()
    call = parse(service, model_type)
    predicted_ms = service.engine.predict_ms(call.model, call.image.info, call.parameters)
    preference = call.preference
    decision = decide(predicted_ms, service.limits, preference)
    if decision.route == "queue":
        record, wanted = submit(service, call, decision), call.wanted
        del call  # the image is in the store; nobody needs it here while the caller is held
        response = answer_job(service, record, decision.hold_s, wanted)
    else:
        response = run_inline(service, call, decision, arrived)
    if preference.applied:
        response.headers["Preference-Applied"] = preference.applied
    return response


def parse(service: Services, path_model: str | None) -> Call:
    """The request as a Call; everything that can be refused without decoding a pixel is refused here."""
    service.check_open()
    wanted = answers.wanted(request)
    parts = service.uploads.parts(request)
    _refuse_later(parts.fields)
    model_type = _model_type(service, parts.fields.pop("model_type", None), path_model)
    model = service.engine.model(model_type)
    pictures.check(wanted, model)
    preference = preferences.parse(parts.fields.pop("mode", None), request.headers.get("Prefer"),
                                   service.settings.wait_max_s)
    parameters = model.parameters(parts.fields)
    image = _open(service, service.uploads.image(request, parts))
    return Call(model_type, model, image, parameters, preference, wanted)


def run_inline(service: Services, call: Call, decision: Decision, arrived: float) -> Response:
    """Run it in its lane: 200."""
    lane = service.lanes.quick if decision.route == "quick" else service.lanes.long
    prediction, queue_ms = lane.run(lambda: call.model.predict(call.image, call.parameters))
    picture = pictures.of_result(service, call.wanted, call.image.data, prediction.result)
    total_ms = (time.perf_counter() - arrived) * 1000
    return answers.inline(secrets.token_hex(16), prediction, queue_ms, total_ms, picture)


def submit(service: Services, call: Call, decision: Decision) -> JobRecord:
    """Make it a job."""
    tiles = call.model.tiles(call.image.info.size, call.parameters)
    given = call.parameters.model_dump(exclude_unset=True)
    job = JobRequest(call.model_type, given, decision.predicted_ms, g.request_id, call.model.mark,
                     len(tiles) if tiles else 1)
    return service.queue.submit(job, call.image.data)


def answer_job(service: Services, record: JobRecord, hold_s: float, wanted: Wanted) -> Response:
    """202; for a caller who wants to be held, the result if it comes meanwhile."""
    if hold_s == 0:
        return answers.accepted(record)
    release(request.environ, service.in_flight)
    held = service.events.hold(record, hold_s, service.queue.read)
    return answers.result(held, pictures.of_job(service, wanted, held))


def _open(service: Services, data: bytes) -> OpenedImage:
    """A small JPEG's header is read on the hub; what is long, or may have texts to inflate (PNG), elsewhere."""
    size = len(data) if data.startswith(JPEG_START) else HUB_BYTES + 1
    return service.lanes.off_hub(size, lambda: service.engine.open(data))


def _model_type(service: Services, given: Any, in_path: str | None) -> str:
    if given is not None and in_path is not None and given != in_path:
        raise BadRequest(f"model_type is {given!r} in the body and {in_path!r} in the path")
    name = given if in_path is None else in_path
    if not isinstance(name, str) or not name:
        names = ", ".join(dict.fromkeys(entry.files.name for entry in service.engine.entries))
        raise BadRequest(f"field model_type is missing; there is: {names}")
    return name


def _refuse_later(fields: dict[str, Any]) -> None:
    """What the contract announces for later is never silently ignored."""
    asked = [name for name in LATER_FIELDS if name in fields] + [
        name for name in LATER_HEADERS if name in request.headers]
    if asked:
        raise NotImplementedYet(f"{asked[0]} is not built yet")
