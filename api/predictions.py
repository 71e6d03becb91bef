"""POST /predict: an image in, an answer or a job out."""

import secrets
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Blueprint, Response, g, request
from pydantic import BaseModel

from api import answers, pictures, preferences
from api.admission import Backlog, Decision, decide
from api.answers import Wanted
from api.bodies import release
from api.errors import BadRequest, NotImplementedYet
from api.inline import NEVER, InlineRun
from api.lanes import HUB_BYTES
from api.preferences import Preference
from api.services import Services, services
from inference.errors import Stopped
from inference.image import OpenedImage, decoded_bytes
from inference.model import LoadedModel, Prediction
from inference.remote import Question
from inference.stop import Stop
from inference.workload import Workload
from jobs.errors import QueueFull, QueueUnavailable
from jobs.queue import JobRequest
from jobs.record import JobRecord

blueprint = Blueprint("predictions", __name__)
JPEG_START = b"\xff\xd8"
PATIENCE = 2.0  # budgets
ENDING_S = 2.0  # until a worker has ended a job at its deadline
LATER_FIELDS = ("webhook",)
LATER_HEADERS = ("Idempotency-Key",)


@dataclass(frozen=True)
class Call:
    """A checked request: which model, which image, how to answer, and in which media type.

    `arrived` is of time.perf_counter; `cancel_after_s` later its caller wants no answer any more.
    """

    model_type: str
    model: LoadedModel
    image: OpenedImage
    parameters: BaseModel
    work: Workload
    preference: Preference
    wanted: Wanted
    arrived: float
    cancel_after_s: float = NEVER

    @property
    def deadline(self) -> float:
        return self.arrived + self.cancel_after_s


@blueprint.post("/predict")
@blueprint.post("/models/<model_type>/predict")
def predict(model_type: str | None = None) -> Response:
    service = services()
    call = parse(service, model_type, time.perf_counter())
    preference, lanes = call.preference, service.lanes
    backlog = Backlog(lanes.quick.backlog_ms, lanes.long.backlog_ms)
    decision = decide(service.engine.predict_ms(call.work), backlog, service.limits, preference.mode)
    answer = submit(service, call, decision) if decision.route == "queue" else run_inline(service, call, decision)
    del call  # a job's image is in the store; nobody needs it here while the caller is held
    response = answer_job(service, answer) if isinstance(answer, Accepted) else answer
    if preference.applied:
        response.headers["Preference-Applied"] = preference.applied
    return response


def parse(service: Services, path_model: str | None, arrived: float) -> Call:
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
    cancel_after_s = preferences.cancel_after_s(parts.fields.pop("timeout", None),
                                                request.headers.get("Cancel-After")) or NEVER
    parameters = model.parameters(parts.fields)
    image = _open(service, service.uploads.image(request, parts))
    work = service.engine.workload(model, image.info, parameters)
    return Call(model_type, model, image, parameters, work, preference, wanted, arrived, cancel_after_s)


def run_inline(service: Services, call: Call, decision: Decision) -> "Response | Accepted":
    """Run it in its lane: 200; as a job after all where it takes much longer than predicted."""
    run = begin(service, call, decision)
    job = None if run.attend() else become_job(service, call, decision, run)
    if job is not None:
        return job
    run.within(NEVER).attend()
    prediction, queue_ms = run.turn.result()
    service.engine.observe(call.work, prediction)
    picture = pictures.of_result(service, call.wanted, call.image.data, prediction.result)
    total_ms = (time.perf_counter() - call.arrived) * 1000
    return answers.inline(secrets.token_hex(16), prediction, queue_ms, total_ms, picture)


def begin(service: Services, call: Call, decision: Decision) -> InlineRun:
    """Stand in line in the lane; twice the budget is how long it may take there, and no longer than a job may."""
    lane, stop = service.lanes.quick if decision.route == "quick" else service.lanes.long, Stop()
    wanted = call.model.decoded_size(call.image.info.size, call.parameters)
    turn = lane.begin(lambda: call.model.predict(call.image, call.parameters, stop=stop), decision.predicted_ms,
                      decoded_bytes(call.image.info, wanted),
                      None if decision.route == "quick" else partial(_predict_elsewhere, service, call, stop))
    now, patience_s = time.perf_counter(), PATIENCE * service.limits.inline_budget_ms / 1000
    return InlineRun(turn, stop, now + patience_s, min(call.deadline, now + service.settings.job_timeout_s),
                     request.environ.get("gunicorn.socket"))


def _predict_elsewhere(service: Services, call: Call, stop: Stop) -> Prediction:
    """In a process of the long lane. Raises Unavailable."""
    question = Question(call.model_type, call.model.mark, call.parameters.model_dump(exclude_unset=True))
    return service.lane_processes.predict(question, call.image.data, stop)


def become_job(service: Services, call: Call, decision: Decision, run: InlineRun) -> "Accepted | None":
    """What is still in line goes to the queue, what runs goes on under a job's id; None where the queue takes none."""
    try:
        if run.turn.begun:
            return Accepted.of(call, service.promotions.take(run, _job(call, decision), call.image.data,
                                                             partial(service.engine.observe, call.work)))
        job = submit(service, call, decision)
        run.turn.withdraw()
        return job
    except (QueueFull, QueueUnavailable):
        return None
    except BaseException:
        if not run.turn.withdraw():  # in line it would be handed a slot one day and never give it back
            run.stop.end(Stopped("its caller was refused"))
        raise


@dataclass(frozen=True)
class Accepted:
    """A job, and what is needed of its request to answer the caller."""

    record: JobRecord
    hold_s: float
    wanted: Wanted
    deadline: float

    @classmethod
    def of(cls, call: Call, record: JobRecord) -> "Accepted":
        return cls(record, call.preference.hold_s, call.wanted, call.deadline)


def submit(service: Services, call: Call, decision: Decision) -> Accepted:
    """Make it a job."""
    return Accepted.of(call, service.queue.submit(_job(call, decision), call.image.data))


def answer_job(service: Services, job: Accepted) -> Response:
    """202; for a caller who wants to be held, the result if it comes meanwhile."""
    if job.hold_s == 0:
        return answers.accepted(job.record)
    release(request.environ, service.in_flight)
    left_s = job.deadline - time.perf_counter()
    record = service.events.hold(job.record, min(job.hold_s, left_s), service.queue.read)
    if not record.ended and time.perf_counter() >= job.deadline:
        record = service.events.hold(service.queue.give_up(record.id), ENDING_S, service.queue.read)
    return answers.result(record, pictures.of_job(service, job.wanted, record))


def _job(call: Call, decision: Decision) -> JobRequest:
    tiles = call.model.tiles(call.image.info.size, call.parameters)
    given = call.parameters.model_dump(exclude_unset=True)
    left_s = call.deadline - time.perf_counter()
    return JobRequest(call.model_type, given, decision.predicted_ms, g.request_id, call.model.mark,
                      len(tiles) if tiles else 1, time.time() + left_s if left_s < NEVER else None)


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
