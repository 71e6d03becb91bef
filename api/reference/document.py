"""The OpenAPI document."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from api.accept import JSON
from api.problems import PROBLEMS
from api.reference import parameters
from api.reference.documents import Problem
from api.reference.operations import OPERATIONS, Answer, Operation
from api.reference.parameters import SCHEMA, TYPES, Schema
from version import VERSION

PROBLEM_JSON = "application/problem+json"
ABOUT = ("Post an image: a quick one is answered at once, a slow one becomes a job. A problem is always "
         "`application/problem+json` with a `type` of `/problems/<slug>`.")
HEADERS = {
    "X-Request-ID": "What the request is called in the logs: the caller's own, or a new one.",
    "Location": "Where to ask for the job.",
    "Retry-After": "Seconds until it is worth asking again.",
    "Preference-Applied": "What of `Prefer` was applied, with the clamped wait.",
    "Server-Timing": "The phases of `timings_ms`.",
    "Vary": "Which headers of the request the answer depends on.",
    "X-Tensor-Shape": "Of plain numbers: the shape, separated by commas.",
    "X-Tensor-Datatype": "Of plain numbers: the type, in the words of the Open Inference Protocol.",
    "Cache-Control": "An event stream is not to be kept.",
    "WWW-Authenticate": "How to send the key.",
    "Accept-Post": "What may be sent.",
    "Accept-Encoding": "How a body may be compressed.",
}
OF_STATUS = {401: ("WWW-Authenticate",), 406: ("Vary",), 415: ("Accept-Post", "Accept-Encoding"),
             409: ("Retry-After",), 429: ("Retry-After",), 503: ("Retry-After",)}
KEYS: list[Schema] = [{"bearer": []}, {"header": []}]


def document(url_prefix: str, needs_key: bool) -> dict[str, Any]:
    """For a service below this path."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Punnet", "version": VERSION, "description": ABOUT,
                 "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": url_prefix or "/"}],
        "security": KEYS if needs_key else [],
        "tags": [{"name": name} for name in dict.fromkeys(operation.tag for operation in OPERATIONS)],
        "paths": _paths(OPERATIONS),
        "components": {"schemas": _schemas(), "responses": _problems(), "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}}}


def _paths(operations: Iterable[Operation]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return paths


def _operation(operation: Operation) -> Schema:
    answers = {str(status): _answer(answer) for status, answer in operation.answers.items()}
    refusals = {str(status): {"$ref": f"#/components/responses/{status}"} for status in operation.refusals}
    told: Schema = {"operationId": operation.name, "tags": [operation.tag], "summary": operation.summary,
                    "parameters": [*operation.parameters, parameters.REQUEST_ID], "responses": answers | refusals}
    if operation.body is not None:
        told["requestBody"] = operation.body
    return told | ({"security": []} if operation.is_open else {})


def _answer(answer: Answer) -> Schema:
    told: Schema = {"description": answer.meaning, "headers": _headers(("X-Request-ID", *answer.headers))}
    media = dict(answer.media)
    if answer.document is not None:
        media = {JSON: {"schema": {"$ref": SCHEMA.format(model=answer.document.__name__)}}, **media}
    links = {name: {"operationId": name, "parameters": {"job_id": "$response.body#/id"}} for name in answer.leads_to}
    return told | ({"content": media} if media else {}) | ({"links": links} if links else {})


def _headers(names: Iterable[str]) -> Mapping[str, Schema]:
    return {name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in names}


def _problems() -> dict[str, Schema]:
    """By status, the problems that are told with it."""
    statuses = sorted({problem.status for problem in PROBLEMS.values()} - {499})  # its caller has gone
    return {str(status): _problem(status) for status in statuses}


def _problem(status: int) -> Schema:
    slugs = list(dict.fromkeys(problem.slug for problem in PROBLEMS.values() if problem.status == status))
    document = {"schema": {"$ref": SCHEMA.format(model=Problem.__name__)}}
    return {"description": " · ".join(f"`{slug}`" for slug in slugs), "content": {PROBLEM_JSON: document},
            "headers": _headers(("X-Request-ID", *OF_STATUS.get(status, ())))}


def _schemas() -> Mapping[str, Schema]:
    answered = {answer.document for operation in OPERATIONS for answer in operation.answers.values()}
    models = [(kind, "serialization") for kind in (*(answered - {None}), Problem)]
    taken = [(kind, "validation") for kind in dict.fromkeys(TYPES)]
    found = models_json_schema([*models, *taken], ref_template=SCHEMA)[1]["$defs"]  # type: ignore[list-item]
    return dict(sorted((found | parameters.bodies()).items()))
