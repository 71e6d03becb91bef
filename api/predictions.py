"""POST /predict: an image in, an answer or a job out."""

import secrets
import time
from dataclasses import replace

from flask import Blueprint, Response, g, request

from api import (
    accept,
    answers,
    digests,
    drawings,
    idempotency,
    image_header,
    model_name,
    preferences,
    tensors,
    webhooks,
)
from api.accept import DRAWINGS
from api.access_log import tell
from api.auth import caller
from api.body import release
from api.calls import Accepted, Call
from api.inline import NEVER, Attended, is_connected
from api.problems import UnsupportedMediaType
from api.routing import Backlog, Decision, decide
from api.services import Services, services
from api.waits import waited_for
from inference.errors import InferenceError, SlowToDecode
from inference.workload import workload
from jobs.errors import NotInTime, QueueFull, QueueUnavailable
from jobs.job import JobRecord, JobRequest
from predictors.client import Prediction

blueprint = Blueprint("predictions", __name__)
PATIENCE = 2.0  # budgets
ENDING_S = 2.0  # until a worker has ended a job at its deadline


@blueprint.route("/predict", methods=["OPTIONS"], provide_automatic_options=False)
@blueprint.route("/models/<model_type>/predict", methods=["OPTIONS"], provide_automatic_options=False)
def options(model_type: str | None = None) -> Response:
    """What may be sent here."""
    response = Response(headers={"Allow": "OPTIONS, POST", **UnsupportedMediaType.headers})
    del response.headers["Content-Type"]  # there is no content
    return response


@blueprint.post("/predict", provide_automatic_options=False)
@blueprint.post("/models/<model_type>/predict", provide_automatic_options=False)
def predict(model_type: str | None = None) -> Response:
    service = services()
    call = parse(service, model_type, time.monotonic())
    preference = call.preference
    answer = act_once(service, call) if call.key else act(service, call)
    del call  # a job's image is in the store; nobody needs it here while the caller waits
    response = answer_job(service, answer) if isinstance(answer, Accepted) else answer
    if preference.applied:
        response.headers["Preference-Applied"] = preference.applied
    return response


def parse(service: Services, path_model: str | None, arrived: float) -> Call:
    """The request as a Call; everything that can be refused without decoding a pixel is refused here."""
    service.drain.check()
    service.check_started()
    wanted = accept.wanted(request.headers.get("Accept", ""))
    fields = service.forms.fields(request)
    read_at = time.monotonic()
    values = fields.values
    key = idempotency.key_of(request.headers.get("Idempotency-Key"))
    webhook = webhooks.parse(values, service.settings.webhook_private)
    model_type = model_name.asked_for(service, values.pop("model_type", None), path_model)
    model = service.catalogue.model(model_type)
    drawings.check(wanted, model)
    preference = preferences.parse(values.pop("mode", None), request.headers.get("Prefer"),
                                   service.settings.wait_max_s)
    if webhook is not None:
        webhook = replace(webhook, traceparent=g.traceparent)
        preference = replace(preference, mode="async")  # of a job alone anything is told later
    cancel_after_s = preferences.cancel_after_s(values.pop("timeout", None),
                                                request.headers.get("Cancel-After")) or NEVER
    wanted = drawings.styled(wanted, values, model)
    parameters = model.parameters(values)
    wanted = tensors.settled(wanted, model, parameters)
    image = service.forms.image(request, fields)
    info = image_header.read(service, image)
    size = None if wanted.kind in DRAWINGS else model.decoded_size(info.size, parameters)
    image_header.check_room(service, info, size)
    return Call(model_type, model, image, info, parameters, workload(model, info, parameters), preference, wanted,
                arrived, read_at, cancel_after_s, webhook, key)


def act_once(service: Services, call: Call) -> Response | Accepted:
    """What came of the first request with its Idempotency-Key, or what comes of this one."""
    asked = idempotency.asked_for(call.model_type, call.parameters.model_dump(), str(call.wanted), str(call.webhook),
                                  digests.of_image(service.intake, call.image))
    found = idempotency.once(service, call.key, asked, lambda claim: act(service, replace(call, claim=claim)))
    return Accepted.of(call, found) if isinstance(found, JobRecord) else found


def act(service: Services, call: Call) -> Response | Accepted:
    """Have it predicted while its caller waits, or make it a job."""
    backlog = Backlog(service.waiting.ms("quick"), service.waiting.ms("long"))
    decision = decide(service.costs.predict_ms(call.work.works), backlog, service.limits, call.preference.mode)
    service.counting.routed(call.model.spec.name, decision)
    tell(request.environ, model=call.model.spec.name, route=decision.route,
         predicted_ms=round(decision.predicted_ms, 1))
    return submit(service, call, decision) if decision.route == "job" else run_inline(service, call, decision)


def run_inline(service: Services, call: Call, decision: Decision) -> Response | Accepted:
    """Have it predicted on its route: 200. It becomes a job where it takes much longer than predicted."""
    try:
        return run_on_route(service, call, decision)
    except SlowToDecode:
        service.counting.rerouted("slow-to-decode")
        return submit(service, call, replace(decision, predicted_ms=service.limits.inline_budget_ms))


def run_on_route(service: Services, call: Call, decision: Decision) -> Response | Accepted:
    """Have it predicted while its caller waits.

    Raises:
        SlowToDecode: its route is kept for too long.
    """
    with service.waiting.counted(decision.route, decision.predicted_ms):
        attended = ask(service, call, decision)
        try:
            job = None if attended.attend() else promote(service, call, decision, attended)
            if job is not None:
                return job
            prediction = attended.result()
        except InferenceError as error:
            used_ms = service.limits.inline_budget_ms * (PATIENCE if decision.route == "long" else 1)
            service.costs.observe_failed(error, call.work.decoding, used_ms)
            attended.run.call_off()
            raise
        except BaseException:  # a refusal of the job, or the end of this greenlet: nobody waits any more
            attended.run.call_off()
            raise
    return answer_inline(service, call, decision, prediction)


def ask(service: Services, call: Call, decision: Decision) -> Attended[Prediction]:
    """Ask the predictors of its route. Twice the budget is how long it may take there, and no longer than a job."""
    now, patience_s = time.monotonic(), PATIENCE * service.limits.inline_budget_ms / 1000
    deadline = min(call.deadline, now + service.settings.job_timeout_s)
    run = service.predictors.predict(decision.route, call.model_type, call.given, call.image, deadline,
                                     call.tensor_type, g.request_id)
    connection = request.environ.get("gunicorn.socket")
    return Attended(run, lambda: is_connected(connection), deadline, now + patience_s)


def promote(service: Services, call: Call, decision: Decision, attended: Attended[Prediction]) -> Accepted | None:
    """What runs goes on under a job's id, what has not begun goes to the queue; None where the queue takes none, and
    for a tensor that is computed already: its 100 MB are better sent than stored, and may be plain numbers, no JSON."""
    if attended.run.begun and call.model.spec.task == "tensor":
        return None
    try:
        if attended.run.begun:
            return Accepted.of(call, service.promotions.promote(attended, decision.route, _job(service, call, decision),
                                                                call.image))
        job = submit(service, call, decision)
        service.counting.rerouted("not-begun")
    except (QueueFull, QueueUnavailable, NotInTime):
        return None
    attended.run.call_off()
    return job


def submit(service: Services, call: Call, decision: Decision) -> Accepted:
    """Make it a job."""
    return Accepted.of(call, service.queue.submit(_job(service, call, decision), call.image))


def answer_inline(service: Services, call: Call, decision: Decision, prediction: Prediction) -> Response:
    """200 with the result, as JSON or as the file that the caller likes better."""
    service.costs.observe(prediction.samples)
    latest = time.monotonic() + service.settings.job_timeout_s
    if prediction.tensor is None:
        file = drawings.of_result(service, call.wanted, call.image, call.info, prediction.result,
                                  min(call.deadline, latest))
    else:
        file = tensors.file_of(prediction.tensor, call.wanted.kind)
    total_ms = (time.monotonic() - call.arrived) * 1000
    service.counting.predicted(call.model.spec.name, decision, prediction, total_ms)
    return answers.inline(secrets.token_hex(16), call.model.spec.name, prediction, total_ms, file)


def answer_job(service: Services, job: Accepted) -> Response:
    """202; for a caller who wants to wait, the result if it comes meanwhile."""
    tell(request.environ, job=job.record.id)
    if not job.waits:
        return answers.accepted(job.record)
    release(request.environ, service.in_flight)
    record = waited_for(service, job.record, min(job.wait_until, job.deadline) - time.monotonic())
    if not record.ended and time.monotonic() >= job.deadline:
        record = waited_for(service, service.queue.give_up(record.id, caller().owner), ENDING_S)
    file = drawings.of_job(service, job.wanted, record) or tensors.of_job(service, job.wanted, record)
    return answers.result(record, file)


def _job(service: Services, call: Call, decision: Decision) -> JobRequest:
    tiles = call.model.tiles(call.info.size, call.parameters)
    left_s = call.deadline - time.monotonic()
    return JobRequest(call.model_type, call.given, decision.predicted_ms, g.request_id,
                      len(tiles) if tiles else 1, left_s if left_s < NEVER else None,
                      caller().owner, caller().share, call.webhook, call.model.fingerprint,
                      call.claim,
                      digests.of_computation(service.intake, call.model, call.parameters, call.image))
