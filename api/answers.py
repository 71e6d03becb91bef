"""Predictions and job records -> HTTP answers."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from flask import Request, Response

from api import errors
from api.errors import JobCanceled, NotAcceptable
from api.json_pieces import is_large, streamed
from inference.drawing import Kind
from inference.model import Prediction
from jobs.queue import retry_after_s
from jobs.record import JobRecord

JSON = "application/json"
PICTURES: tuple[Kind, ...] = get_args(Kind)
PHASES = ("queue", "decode", "preprocess", "inference", "postprocess", "total")


@dataclass(frozen=True)
class Picture:
    """A result as a picture: an encoded file and its media type."""

    kind: Kind
    data: bytes


@dataclass(frozen=True)
class Wanted:
    """The media type that a caller likes best, and whether JSON would do where no picture can be made."""

    kind: str = JSON
    or_json: bool = True


def wanted(request: Request) -> Wanted:
    """How a prediction is to be answered: JSON unless a picture is liked better.

    Raises:
        NotAcceptable.
    """
    if request.headers.get("Accept", "") in ("", "*/*") or not (accept := request.accept_mimetypes):
        return Wanted()
    kind = accept.best_match((JSON, *PICTURES))
    if kind is None:
        raise NotAcceptable(f"answers are written as {', '.join((JSON, *PICTURES))}")
    return Wanted(kind, bool(accept[JSON]))


def inline(request_id: str, prediction: Prediction, queue_ms: float, total_ms: float,
           picture: Picture | None) -> Response:
    """200 for a prediction that ran in this process."""
    return _prediction(_with_times(prediction.to_dict(), queue_ms, total_ms), request_id, "inline", picture)


def accepted(record: JobRecord) -> Response:
    """202 with the job's document and where to ask."""
    response = job(record, 202)
    response.headers["Location"] = f"/jobs/{record.id}"
    response.headers["Retry-After"] = str(retry_after_s(record))
    return response


def job(record: JobRecord, http_status: int = 200) -> Response:
    """The job document."""
    return _json(job_document(record), http_status)


def result(record: JobRecord, picture: Picture | None = None) -> Response:
    """What a synchronous call would have answered; 202 while the job has not ended."""
    if not record.ended:
        return accepted(record)
    if record.state == "canceled":
        raise JobCanceled(f"job {record.id} was canceled")
    assert record.outcome is not None
    if record.outcome.prediction is None:
        return errors.render(errors.problem_of(record.outcome.kind), record.outcome.detail)
    return _prediction(_with_times(record.outcome.prediction, record.queue_ms, record.total_ms), record.id, "queue",
                       picture)


def job_document(record: JobRecord) -> dict:
    """The contract's job document, with `result` or `error` once it ended."""
    url = f"/jobs/{record.id}"
    document = {
        "status": 202, "id": record.id, "state": record.state, "model_type": record.model_type,
        "queue_position": record.queue_position, "eta_s": record.eta_s,
        "progress": {"done": record.tiles_done, "total": record.tiles},
        "created_at": _time(record.created_at), "started_at": _time(record.started_at),
        "completed_at": _time(record.completed_at),
        "urls": {"get": url, "result": f"{url}/result", "events": f"{url}/events", "cancel": url},
    }
    return document | _ending(record)


def _ending(record: JobRecord) -> dict:
    if record.state == "canceled":
        return {"status": 410}
    if record.outcome is None:
        return {}
    if record.outcome.prediction is None:
        problem = errors.problem_of(record.outcome.kind)
        return {"status": problem.status, "error": errors.document(problem, record.outcome.detail, record.request_id)}
    timed = _with_times(record.outcome.prediction, record.queue_ms, record.total_ms)
    return {"status": 200} | {key: timed[key] for key in ("model_version", "image", "result", "timings_ms")}


def _with_times(prediction: dict, queue_ms: float, total_ms: float) -> dict:
    times = {"queue": round(queue_ms, 3), **prediction["timings_ms"], "total": round(total_ms, 3)}
    return prediction | {"timings_ms": times}


def _prediction(prediction: dict, prediction_id: str, route: str, picture: Picture | None) -> Response:
    times = prediction["timings_ms"]
    timing = ", ".join(f"{phase};dur={times[phase]}" for phase in PHASES)
    if picture is not None:
        return Response(picture.data, 200, [("Content-Type", picture.kind), ("Server-Timing", timing)])
    return _json({"status": 200, "id": prediction_id, "route": route, **prediction}, 200, ("Server-Timing", timing))


def _json(document: dict, http_status: int, *headers: tuple[str, str]) -> Response:
    body = streamed(document) if is_large(document) else json.dumps(document).encode()
    return Response(body, http_status, [("Content-Type", JSON), *headers])


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
