"""Exception type -> HTTP status and problem document. The only file that knows both."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import orjson
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from api.access_log import tell
from inference import errors as inference_errors
from inference.library_texts import without_objects
from jobs import errors as job_errors
from jobs.job import DEADLINE, WORKER_LOST

log = logging.getLogger(__name__)
MAX_DETAIL = 500  # characters: a detail may quote what the caller sent
RETRY_AFTER_S = 2  # of a 503: as long as it takes until a supervised process is back


class ApiError(Exception):
    """Base of what the HTTP side itself refuses; the text is the problem's `detail`."""

    headers: ClassVar[Mapping[str, str]] = {}


class BadRequest(ApiError):
    """The request does not say what it wants, or says it twice."""


class Unauthorized(ApiError):
    """No key, or a wrong one."""

    headers: ClassVar = {"WWW-Authenticate": "Bearer"}


class Forbidden(ApiError):
    """A browser's page of another origin, or a name by which the service may not be called."""


class ImageNotFound(ApiError):
    """The path names no image below the image root."""


class NotAcceptable(ApiError):
    """The caller accepts no format that this server writes."""


class TooLarge(ApiError):
    """The body or the image is larger than allowed."""


class TooSlow(ApiError):
    """The body comes more slowly than PUNNET_MIN_UPLOAD_KBPS."""


class UnsupportedMediaType(ApiError):
    """The body's content type is none that carries an image."""

    headers: ClassVar = {"Accept-Post": "multipart/form-data, application/json, application/x-www-form-urlencoded, "
                                        "application/octet-stream, image/*"}


class UnsupportedCoding(UnsupportedMediaType):
    """The body is compressed in a way that is not unpacked here."""

    headers: ClassVar = {"Accept-Encoding": "gzip, deflate"}


class Starting(ApiError):
    """The service does not know yet which models there are."""


class Draining(ApiError):
    """The service is being stopped."""


class Busy(ApiError):
    """No room for the request's body right now."""


class KeyReused(ApiError):
    """The Idempotency-Key came before, with another request."""


class JobCanceled(ApiError):
    """The job was canceled; it has no result."""


@dataclass(frozen=True)
class Problem:
    """How one kind of error is told: status, slug of its `type`, title."""

    status: int
    slug: str
    title: str


PROBLEMS: dict[str, Problem] = {
    BadRequest.__name__: Problem(400, "bad-request", "The request is not complete or contradicts itself"),
    Unauthorized.__name__: Problem(401, "unauthorized", "An API key is needed"),
    Forbidden.__name__: Problem(403, "forbidden", "That is not allowed from there"),
    NotFound.__name__: Problem(404, "not-found", "There is nothing at this path"),
    inference_errors.ModelNotFound.__name__: Problem(404, "model-not-found", "No such model"),
    ImageNotFound.__name__: Problem(404, "image-not-found", "No such image"),
    job_errors.JobNotFound.__name__: Problem(404, "job-not-found", "No such job"),
    MethodNotAllowed.__name__: Problem(405, "method-not-allowed", "The path does not take this method"),
    NotAcceptable.__name__: Problem(406, "not-acceptable", "No acceptable format"),
    inference_errors.NotDrawable.__name__: Problem(406, "not-acceptable", "The result cannot be drawn"),
    inference_errors.NotOneTensor.__name__: Problem(406, "not-acceptable", "The result is not one tensor"),
    TooSlow.__name__: Problem(408, "too-slow", "The body comes too slowly"),
    job_errors.JobExpired.__name__: Problem(410, "job-expired", "The job's result has expired"),
    job_errors.ImageLost.__name__: Problem(410, "job-expired", "The job's image is not kept any more"),
    job_errors.KeyInUse.__name__: Problem(409, "conflict", "The same request is under way"),
    JobCanceled.__name__: Problem(410, "job-canceled", "The job was canceled"),
    inference_errors.CalledOff.__name__: Problem(499, "caller-gone", "The caller hung up"),  # as nginx logs it
    TooLarge.__name__: Problem(413, "too-large", "The image is too large"),
    inference_errors.UnsupportedImage.__name__: Problem(415, "unsupported-image", "The image cannot be read"),
    UnsupportedMediaType.__name__: Problem(415, "unsupported-media-type", "The content type carries no image"),
    UnsupportedCoding.__name__: Problem(415, "unsupported-media-type", "The content coding is not unpacked here"),
    inference_errors.TooManyPixels.__name__: Problem(422, "too-many-pixels", "The image has too many pixels"),
    inference_errors.BadParameter.__name__: Problem(422, "bad-parameter", "A parameter is wrong"),
    KeyReused.__name__: Problem(422, "bad-parameter", "A parameter is wrong"),
    job_errors.QueueFull.__name__: Problem(429, "queue-full", "The queue is full"),
    inference_errors.InferenceFailed.__name__: Problem(500, "inference-failed", "The inference failed"),
    inference_errors.PoisonImage.__name__: Problem(500, "poison-image", "The image ends who computes it"),
    WORKER_LOST: Problem(500, "worker-lost", "The job's workers died"),
    Starting.__name__: Problem(503, "starting", "The service is starting"),
    inference_errors.ModelLoading.__name__: Problem(503, "model-loading", "The model is still being loaded"),
    Draining.__name__: Problem(503, "draining", "The service is being stopped"),
    job_errors.QueueUnavailable.__name__: Problem(503, "queue-unavailable", "The queue server is away"),
    Busy.__name__: Problem(503, "busy", "No room for the request right now"),
    inference_errors.PredictorsAway.__name__: Problem(503, "busy", "No predictor takes the request right now"),
    inference_errors.SlowToDecode.__name__: Problem(503, "busy", "The image keeps its route for too long"),
    inference_errors.Overdue.__name__: Problem(504, "deadline", "The prediction took too long"),
    job_errors.NotInTime.__name__: Problem(504, "deadline", "The prediction could not begin in time"),
    DEADLINE: Problem(504, "deadline", "The prediction took too long"),
}
# Another `Accept` would have got another answer.
BY_ACCEPT = [PROBLEMS[kind.__name__] for kind in (NotAcceptable, inference_errors.NotDrawable,
                                                  inference_errors.NotOneTensor, job_errors.ImageLost)]
INTERNAL = Problem(500, "inference-failed", "Something went wrong in the server")


def register(app: Flask) -> None:
    """Every error of every view is answered here."""
    app.register_error_handler(Exception, _answer)


def document(problem: Problem, detail: str, request_id: str | None = None, url_prefix: str | None = None) -> dict:
    """The RFC 9457 problem document for this request, or for the one that `request_id` names. Outside of a request
    `url_prefix` is to be given too."""
    prefix = request.script_root if url_prefix is None else url_prefix
    return {"type": f"{prefix}/problems/{problem.slug}", "title": problem.title, "status": problem.status,
            "detail": _writable(without_objects(detail)[:MAX_DETAIL]), "request_id": request_id or g.request_id}


def problem_of(outcome_kind: str) -> Problem:
    """How a job's refusal is told: as the exception of that name would have been."""
    return PROBLEMS.get(outcome_kind, INTERNAL)


def render(problem: Problem, detail: str) -> Response:
    """The problem document as an answer."""
    body = orjson.dumps(document(problem, detail)) + b"\n"
    g.problem = problem.slug  # to be counted
    tell(request.environ, problem=problem.slug)
    headers = {"Vary": "Accept"} if problem in BY_ACCEPT else {}
    return Response(body, problem.status, headers, content_type="application/problem+json")


def _writable(text: str) -> str:
    """A text that quotes half of a surrogate pair, as JSON may send it, is no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _answer(error: Exception) -> Response:
    time.sleep(0)  # gevent's: a connection that is refused again and again lets the others in
    problem = _problem_for(error)
    response = render(problem, _detail(error))
    if problem.status in (409, 429, 503):
        response.headers["Retry-After"] = str(round(getattr(error, "retry_after_s", RETRY_AFTER_S)))
    response.headers.update(getattr(error, "headers", {}))
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = _allowed(error)
    return response


def _allowed(error: MethodNotAllowed) -> str:
    return ", ".join(sorted(error.valid_methods or ()))


def _problem_for(error: Exception) -> Problem:
    problem = _known(error)
    if problem is not None:
        return problem
    if isinstance(error, HTTPException):
        return Problem(error.code or 500, "bad-request", error.name)
    log.exception("request %s: unexpected error", g.request_id, exc_info=error)
    return INTERNAL


def kind_of(error: Exception) -> str:
    """The name by which an error is known here, "" where it is not."""
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in PROBLEMS), "")


def _known(error: Exception) -> Problem | None:
    return PROBLEMS.get(kind_of(error))


def _detail(error: Exception) -> str:
    if isinstance(error, NotFound):
        return f"nothing at {request.path}; predictions are posted to /predict"
    if isinstance(error, MethodNotAllowed):
        what_to_do = ": post an image" if request.path.endswith("/predict") else ""
        return f"{request.path} does not take {request.method}; it takes {_allowed(error)}{what_to_do}"
    if isinstance(error, HTTPException):
        return error.description or error.name
    if _known(error):
        return str(error)
    return f"unexpected {type(error).__name__}; the server's log has it under this request_id"
