"""Every request, what it takes and what it answers."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from api.accept import DRAWINGS, TENSORS
from api.reference import parameters
from api.reference.documents import (
    DeliveryList,
    Index,
    Job,
    JobList,
    Liveness,
    Model,
    ModelList,
    Prediction,
    Readiness,
    Version,
)
from api.reference.parameters import Schema

KEYED = (401, 403)  # where keys are set, and for browsers' pages of other origins
READING = (400, *KEYED, 404, 406, 410, 413, 415, 422, 500, 503, 504)  # what came of an image
PREDICTING = (*READING, 408, 409, 429)
PICTURES = {kind: {"schema": parameters.BINARY} for kind in (*DRAWINGS, *TENSORS)}
TEXT: Schema = {"schema": {"type": "string"}}
ACCEPTED = ("Location", "Retry-After")
EVENT: Schema = {"schema": {"type": "object", "required": ["id", "event", "data"], "properties": {
    "id": {"type": "string"}, "event": {"type": "string", "enum": ["state", "progress", "done"]},
    "data": {"type": "string", "contentMediaType": "application/json",
             "contentSchema": {"$ref": parameters.SCHEMA.format(model=Job.__name__)}}}}}
TIMED = ("Server-Timing", "Vary")
OF_A_JOB = ("show_job", "show_result", "follow_job", "cancel_job")


@dataclass(frozen=True)
class Answer:
    """What one status brings: a document, other media types, and headers beside those of every answer."""

    meaning: str
    document: type[BaseModel] | None = None
    media: dict[str, Schema] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    leads_to: tuple[str, ...] = ()  # operations that take the `id` of the document


@dataclass(frozen=True)
class Operation:
    """A request. `refusals` are the statuses of problem documents; `is_open`: no key is ever needed."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: dict[int, Answer]
    refusals: tuple[int, ...] = KEYED
    parameters: list[Schema] = field(default_factory=list)
    body: Schema | None = None
    is_open: bool = False


def _predict(path: str, name: str, in_path: bool) -> Operation:
    parts: list[Any] = [parameters.MODEL_TYPE] if in_path else []
    parts += [*parameters.query(in_path), parameters.PREFER, parameters.CANCEL_AFTER, parameters.IDEMPOTENCY_KEY]
    answers = {200: Answer("The answer.", Prediction, PICTURES, (*TIMED, "Preference-Applied", "X-Tensor-Shape",
                                                                 "X-Tensor-Datatype")),
               202: Answer("A job.", Job, {}, (*ACCEPTED, "Preference-Applied"), OF_A_JOB)}
    return Operation("post", path, name, "Predictions", "Predict one image", answers, PREDICTING, parts,
                     parameters.body())


OPERATIONS = (
    _predict("/predict", "predict", in_path=False),
    _predict("/models/{model_type}/predict", "predict_with_model", in_path=True),
    Operation("get", "/jobs", "list_jobs", "Jobs", "The caller's own jobs, newest first",
              {200: Answer("Jobs, without their results.", JobList)}, (*KEYED, 404, 410, 422, 503), parameters.LIST),
    Operation("get", "/jobs/{job_id}", "show_job", "Jobs", "Where a job stands",
              {200: Answer("The job, in every state.", Job)}, (400, *KEYED, 404, 410, 503),
              [parameters.JOB_ID, parameters.WAIT]),
    Operation("delete", "/jobs/{job_id}", "cancel_job", "Jobs", "Cancel a job",
              {200: Answer("The job, which has ended.", Job)}, (*KEYED, 404, 410, 503), [parameters.JOB_ID]),
    Operation("get", "/jobs/{job_id}/result", "show_result", "Jobs", "What a synchronous call would have answered",
              {200: Answer("The answer.", Prediction, PICTURES, (*TIMED, "X-Tensor-Shape", "X-Tensor-Datatype")),
               202: Answer("The job has not ended.", Job, headers=ACCEPTED)},
              READING, [parameters.JOB_ID, parameters.WAIT]),
    Operation("get", "/jobs/{job_id}/events", "follow_job", "Jobs", "What happens to a job, as Server-Sent Events",
              {200: Answer("Events, each with the job as data; comments between them keep the connection awake.", None,
                           {"text/event-stream": EVENT}, ("Cache-Control",)),
               204: Answer("The job has ended, and the caller knows it.")}, (*KEYED, 404, 410, 503),
              [parameters.JOB_ID, parameters.LAST_EVENT_ID]),
    Operation("get", "/jobs/{job_id}/deliveries", "list_deliveries", "Jobs", "What became of a job's webhook",
              {200: Answer("Each try.", DeliveryList)}, (*KEYED, 404, 410, 503), [parameters.JOB_ID]),
    Operation("get", "/models", "list_models", "Models", "All models, and why some are not served",
              {200: Answer("Models.", ModelList)}, (*KEYED, 503)),
    Operation("get", "/models/{model_type}", "show_model", "Models", "A model, with every decision about it",
              {200: Answer("The model.", Model)}, (*KEYED, 404, 503), [parameters.MODEL_TYPE]),
    Operation("get", "/livez", "livez", "Service", "Whether the process answers",
              {200: Answer("It does.", Liveness)}, (403,), is_open=True),
    Operation("get", "/readyz", "readyz", "Service", "Whether requests can be answered",
              {200: Answer("They can.", Readiness)}, (403, 503), is_open=True),
    Operation("get", "/version", "version", "Service", "The version", {200: Answer("The version.", Version)}),
    Operation("get", "/metrics", "metrics", "Service", "Numbers for Prometheus",
              {200: Answer("Numbers.", None, {"text/plain": TEXT})}),
    Operation("get", "/openapi.json", "openapi", "Service", "This description",
              {200: Answer("OpenAPI 3.1.", None, {"application/json": {"schema": {"type": "object"}}})}),
    Operation("get", "/docs", "docs", "Service", "This description, to be read and tried out",
              {200: Answer("A page.", None, {"text/html": TEXT})}, (403,), is_open=True),
    Operation("get", "/", "index", "Service", "A page to try a model in a browser, or an index of paths",
              {200: Answer("For who likes HTML best a page, else an index.", Index, {"text/html": TEXT})}),
)
