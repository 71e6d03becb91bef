"""/jobs: how an accepted job stands, what happens to it, what came of it, and its cancellation."""

from flask import Blueprint, Response, request

from api import accept, answers, drawings, job_lists, preferences, streams, tensors
from api.auth import caller
from api.services import services
from api.waits import parked_for
from jobs.job import JobRecord

blueprint = Blueprint("jobs", __name__)


@blueprint.get("/jobs/<job_id>")
def show(job_id: str) -> Response:
    return answers.job(_waited_for(job_id))


@blueprint.get("/jobs/<job_id>/result")
def result(job_id: str) -> Response:
    service, wanted = services(), accept.wanted(request.headers.get("Accept", ""))
    wanted = drawings.styled(wanted, request.args.to_dict())
    record = _waited_for(job_id)
    return answers.result(record, drawings.of_job(service, wanted, record) or tensors.of_job(service, wanted, record))


@blueprint.delete("/jobs/<job_id>")
def cancel(job_id: str) -> Response:
    return answers.job(services().queue.cancel(job_id, caller().owner))


@blueprint.get("/jobs/<job_id>/deliveries")
def deliveries(job_id: str) -> Response:
    return answers.json({"deliveries": services().queue.deliveries(job_id, caller().owner)})


@blueprint.get("/jobs")
def index() -> Response:
    search, listing = job_lists.search(request.args), services().queue.listing
    return answers.json(job_lists.document(listing.page(caller().owner, search), request.args, request.script_root))


@blueprint.get("/jobs/<job_id>/events")
def events(job_id: str) -> Response:
    service = services()
    record = service.queue.read(job_id, caller().owner)
    return streams.response(service, record, request.headers.get("Last-Event-ID", ""))


def _waited_for(job_id: str) -> JobRecord:
    """The job's record once it has ended, or where it stands after `?wait=` seconds."""
    service = services()
    wait_s = preferences.wait_seconds(request.args.get("wait"), service.settings.wait_max_s)
    return parked_for(service, job_id, wait_s)
