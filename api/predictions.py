"""POST /predict: an image in, an answer or a job out."""

import time
import uuid
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request
from pydantic import BaseModel

from api import answers, preferences
from api.admission import Decision, decide
from api.errors import BadRequest, NotImplementedYet
from api.preferences import Preference
from api.services import Services, services
from inference.image import OpenedImage
from jobs.queue import JobRequest

blueprint = Blueprint("predictions", __name__)
LATER_FIELDS = ("webhook",)
LATER_HEADERS = ("Idempotency-Key",)


@dataclass(frozen=True)
class Call:
    """A checked request: which model, which image, how to answer."""

    model_type: str
    image: OpenedImage
    parameters: BaseModel
    preference: Preference


@blueprint.post("/predict")
@blueprint.post("/models/<model_type>/predict")
def predict(model_type: str | None = None) -> Response:
    service, arrived = services(), time.perf_counter()
    call = parse(service, model_type)
    predicted_ms = service.engine.predict_ms(call.model_type, call.image.info)
    decision = decide(predicted_ms, service.limits, call.preference)
    response = act(service, call, decision, arrived)
    if call.preference.applied:
        response.headers["Preference-Applied"] = call.preference.applied
    return response


def parse(service: Services, path_model: str | None) -> Call:
    """The request as a Call; everything that can be refused without decoding a pixel is refused here."""
    service.check_open()
    answers.check_acceptable(request)
    parts = service.uploads.parts(request)
    _refuse_later(parts.fields)
    model_type = _model_type(service, parts.fields.pop("model_type", None), path_model)
    preference = preferences.parse(parts.fields.pop("mode", None), request.headers.get("Prefer"),
                                   service.settings.wait_max_s)
    parameters = service.engine.parameters(model_type, parts.fields)
    data = service.uploads.image(parts)
    image = service.lanes.off_hub(len(data), lambda: service.engine.open(data))
    return Call(model_type, image, parameters, preference)


def act(service: Services, call: Call, decision: Decision, arrived: float) -> Response:
    """Run it in its lane, or make it a job."""
    if decision.route == "queue":
        return _as_job(service, call, decision)
    lane = service.lanes.quick if decision.route == "quick" else service.lanes.long
    prediction, queue_ms = lane.run(lambda: service.engine.predict(call.model_type, call.image, call.parameters))
    return answers.inline(uuid.uuid4().hex, prediction, queue_ms, (time.perf_counter() - arrived) * 1000)


def _as_job(service: Services, call: Call, decision: Decision) -> Response:
    """Submit, hold as long as the caller wants, answer with the result if it came meanwhile."""
    job = JobRequest(call.model_type, call.parameters.model_dump(), decision.predicted_ms)
    record = service.queue.submit(job, call.image.data)
    if decision.hold_s == 0:
        return answers.accepted(record)
    return answers.result(service.events.hold(record.id, decision.hold_s, service.queue.read))


def _model_type(service: Services, given: Any, in_path: str | None) -> str:
    if given is not None and in_path is not None and given != in_path:
        raise BadRequest(f"model_type is {given!r} in the body and {in_path!r} in the path")
    name = given if in_path is None else in_path
    if not isinstance(name, str) or not name:
        names = ", ".join(entry.files.name for entry in service.engine.entries)
        raise BadRequest(f"field model_type is missing; there is: {names}")
    service.engine.model(name)
    return name


def _refuse_later(fields: dict[str, Any]) -> None:
    """What the contract announces for later is never silently ignored."""
    asked = [name for name in LATER_FIELDS if name in fields] + [
        name for name in LATER_HEADERS if name in request.headers]
    if asked:
        raise NotImplementedYet(f"{asked[0]} is not built yet")
