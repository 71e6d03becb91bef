"""Predictions and job records -> HTTP answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from flask import Response, request

from api import problems
from api.accept import JSON
from api.problems import JobCanceled
from jobs.job import JobRecord, Outcome, retry_after_s
from predictors.client import Prediction

PHASES = ("queue", "decode", "preprocess", "inference", "postprocess", "total")
# Larger results are sent as they are, beside what surrounds them: to copy them together would hold up the event loop.
JOINED_BYTES = 1 << 16


@dataclass(frozen=True)
class File:
    """A result as a file instead of JSON, drawn on its image or plain numbers: its media type, and headers about it."""

    kind: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def json(document: Mapping[str, Any], http_status: int = 200) -> Response:
    """A document as an answer."""
    return Response(orjson.dumps(document) + b"\n", http_status, content_type=JSON)


def inline(request_id: str, model: str, prediction: Prediction, total_ms: float, file: File | None) -> Response:
    """200 for a prediction that was answered inline."""
    head = {"status": 200, "id": request_id, "model_type": model, "model_version": prediction.model_version,
            "route": "inline", "image": prediction.image,
            "timings_ms": _times(prediction.timings_ms, prediction.queue_ms, total_ms)}
    return _prediction(head, prediction.result, file)


def accepted(record: JobRecord) -> Response:
    """202 with the job's document and where to ask."""
    response = job(record, 202)
    response.headers["Location"] = _url(record)
    response.headers["Retry-After"] = str(retry_after_s(record))
    return response


def job(record: JobRecord, http_status: int = 200) -> Response:
    """The job document, with `result` or `error` once it ended."""
    return _written(document(record, request.script_root), record.result, http_status)


def result(record: JobRecord, file: File | None = None) -> Response:
    """What a synchronous call would have answered; 202 while the job has not ended."""
    if not record.ended:
        return accepted(record)
    if record.state == "canceled":
        raise JobCanceled(f"job {record.id} was canceled")
    outcome = _outcome(record)
    if not outcome.succeeded:
        return problems.render(problems.problem_of(outcome.kind), outcome.detail)
    head = {"status": 200, "id": record.id, "model_type": record.model_type.partition(":")[0], "route": "queue"}
    return _prediction(head | _told(record), record.result, file)


def document(record: JobRecord, url_prefix: str) -> dict:
    """The job document but for the result."""
    return _standing(record, f"{url_prefix}/jobs/{record.id}") | _ending(record, url_prefix)


def told(record: JobRecord, url_prefix: str) -> bytes:
    """The job document as it is posted to a webhook: outside of any request."""
    return b"".join([*joined(document(record, url_prefix), record.result), b"\n"])


def joined(head: Mapping[str, Any], result: bytes) -> list[bytes]:
    """A JSON object in pieces, whose last member `result` is JSON already. Without a result it has none."""
    text = orjson.dumps(head)
    return [text[:-1] + b',"result":', result, b"}"] if result else [text]


def _standing(record: JobRecord, url: str) -> dict:
    deliveries = {"deliveries": f"{url}/deliveries"} if record.has_webhook else {}
    return {"status": 202, "id": record.id, "state": record.state, "model_type": record.model_type,
            "queue_position": record.queue_position, "eta_s": None if record.eta_s is None else round(record.eta_s, 3),
            **({"waiting_for": record.waiting_for} if record.waiting_for else {}),
            "progress": {"done": record.tiles_done, "total": record.tiles},
            "created_at": _time(record.created_at), "started_at": _time(record.started_at),
            "completed_at": _time(record.completed_at),
            "urls": {"get": url, "result": f"{url}/result", "events": f"{url}/events", "cancel": url} | deliveries}


def _url(record: JobRecord) -> str:
    """Where to ask for a job: below the path of a proxy, if there is one."""
    return f"{request.script_root}/jobs/{record.id}"


def _ending(record: JobRecord, url_prefix: str) -> dict:
    """What the document says otherwise, or besides, once the job ended."""
    if record.state == "canceled":
        return {"status": 410}
    if record.state == "succeeded":
        return {"status": 200} | _told(record)
    if record.state != "failed":
        return {}
    outcome = _outcome(record)
    problem = problems.problem_of(outcome.kind)
    error = problems.document(problem, outcome.detail, record.request_id, url_prefix)
    return {"status": problem.status, "error": error}


def _told(record: JobRecord) -> dict:
    """What a succeeded job tells beside its result."""
    outcome = _outcome(record)
    return {"model_version": outcome.model_version, "image": outcome.image,
            "timings_ms": _job_times(outcome.timings_ms or {}, record.queue_ms, record.total_ms)}


def _outcome(record: JobRecord) -> Outcome:
    assert record.outcome is not None, "it has ended, and not by being canceled"
    return record.outcome


def _job_times(phases_ms: Mapping[str, float], queue_ms: float, total_ms: float) -> dict[str, float]:
    """Times that add up. A run may have begun before its job was accepted, where it outlasted its call, and during a
    job's wait, where that was joined: the whole run counts, and what it leaves of the wait."""
    run_ms = sum(phases_ms.values())
    whole_ms = max(total_ms, run_ms)
    return _times(phases_ms, min(queue_ms, whole_ms - run_ms), whole_ms)


def _times(phases_ms: Mapping[str, float], queue_ms: float, total_ms: float) -> dict[str, float]:
    return {"queue": round(queue_ms, 3), **phases_ms, "total": round(total_ms, 3)}


def _prediction(head: dict, result: bytes, file: File | None) -> Response:
    times = head["timings_ms"]
    response = (_written(head, result, 200) if file is None else
                Response(file.data, 200, dict(file.headers), content_type=file.kind))
    response.headers["Server-Timing"] = ", ".join(f"{phase};dur={times[phase]}" for phase in PHASES)
    response.headers["Vary"] = "Accept"
    return response


def _written(head: Mapping[str, Any], result: bytes, http_status: int) -> Response:
    pieces = [*joined(head, result), b"\n"]
    length = sum(map(len, pieces))
    body = pieces if length > JOINED_BYTES else [b"".join(pieces)]
    return Response(body, http_status, [("Content-Length", str(length))], content_type=JSON)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
