"""Predictions and job records -> HTTP answers."""

import json
from datetime import datetime

from flask import Request, Response

from api import errors
from api.errors import JobCanceled, NotAcceptable, NotImplementedYet
from inference.engine import Prediction
from jobs.queue import retry_after_s
from jobs.record import JobRecord

PICTURES = ("image/png", "image/jpeg", "image/webp")
PHASES = ("queue", "decode", "preprocess", "inference", "postprocess", "total")


def check_acceptable(request: Request) -> None:
    """Raises NotAcceptable, or NotImplementedYet where only a picture would do."""
    if request.headers.get("Accept", "*/*") == "*/*":
        return
    accept = request.accept_mimetypes
    if not accept or accept["application/json"]:
        return
    if any(accept[kind] for kind in PICTURES):
        raise NotImplementedYet("pictures as answers are not built yet; send 'Accept: application/json'")
    raise NotAcceptable("answers are written as application/json")


def inline(request_id: str, prediction: Prediction, queue_ms: float, total_ms: float) -> Response:
    """200 for a prediction that ran in this process."""
    return _prediction(_with_times(prediction.to_dict(), queue_ms, total_ms), request_id, "inline")


def accepted(record: JobRecord) -> Response:
    """202 with the job's document and where to ask."""
    response = job(record, 202)
    response.headers["Location"] = f"/jobs/{record.id}"
    response.headers["Retry-After"] = str(retry_after_s(record))
    return response


def job(record: JobRecord, http_status: int = 200) -> Response:
    """The job document."""
    return _json(job_document(record), http_status)


def result(record: JobRecord) -> Response:
    """What a synchronous call would have answered; 202 while the job has not ended."""
    if not record.ended:
        return accepted(record)
    if record.state == "canceled":
        raise JobCanceled(f"job {record.id} was canceled")
    assert record.outcome is not None
    if record.outcome.prediction is None:
        return errors.render(errors.problem_of(record.outcome.kind), record.outcome.detail)
    return _prediction(_with_times(record.outcome.prediction, record.queue_ms, record.total_ms), record.id, "queue")


def job_document(record: JobRecord) -> dict:
    """The contract's job document, with `result` or `error` once it ended."""
    url = f"/jobs/{record.id}"
    document = {
        "status": 202, "id": record.id, "state": record.state, "model_type": record.model_type,
        "queue_position": record.queue_position, "eta_s": record.eta_s,
        "progress": {"done": int(record.state == "succeeded"), "total": 1},
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


def _prediction(prediction: dict, prediction_id: str, route: str) -> Response:
    times = prediction["timings_ms"]
    timing = ", ".join(f"{phase};dur={times[phase]}" for phase in PHASES)
    return _json({"status": 200, "id": prediction_id, "route": route, **prediction}, 200, ("Server-Timing", timing))


def _json(document: dict, http_status: int, *headers: tuple[str, str]) -> Response:
    return Response(json.dumps(document).encode(), http_status, [("Content-Type", "application/json"), *headers])


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
