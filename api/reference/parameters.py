"""What a caller may send: parameters of the query and headers, and bodies with their fields.

What each task takes comes from the types that check it.
"""

from typing import Any

from pydantic import BaseModel

from api.idempotency import BARE, MAX_CHARACTERS, QUOTED
from api.job_lists import LIMIT, MOST, STATES
from api.preferences import MODES
from api.webhooks import DEFAULT_EVENTS, EVENTS_FIELD, MAX_URL, URL_FIELD
from inference.drawing.style import Style
from inference.parameters import (
    PARAMETERS,
    HeatmapParameters,
    InstanceParameters,
    MaskQueryParameters,
)
from jobs.webhooks import EVENTS

Schema = dict[str, Any]
SCHEMA = "#/components/schemas/{model}"
TYPES: tuple[type[BaseModel], ...] = (*PARAMETERS.values(), InstanceParameters, MaskQueryParameters, HeatmapParameters,
                                      Style)
BINARY: Schema = {"type": "string", "format": "binary"}
ID = {"type": "string", "pattern": "^[0-9A-Za-z-]+$", "minLength": 1, "maxLength": 64}
DURATION = r"^(?=.*[1-9])(\d{1,6}h)?(\d{1,6}m)?(\d{1,9}(\.\d{1,6})?(s|$))?(\d{1,9}ms)?$"
NAMES = "|".join(EVENTS)
MEANINGS = {
    "top_k": "At most so many predictions, the best ones.",
    "threshold": "Only predictions with at least this score.",
    "iou": "Boxes of a class that overlap by more than this are one object.",
    "tile": "Cut the image into tiles of so many pixels a side, 0 for none.",
    "normalize": "Whether the vector is to have length 1.",
    "labels": "What the tags of a drawing say; auto leaves out what would cover more than it explains.",
    "scale": "A drawing's size over the image's; null enlarges small images.",
    "outputs": "Names of outputs, separated by commas.",
    "model_type": "The model's name, or `name:version`.",
    "mode": "auto: what is quick is answered, what is slow is a job. async: always a job. sync: a job is waited for.",
    "timeout": "After how long nobody wants the answer any more: `30`, `30s`, `1m30s`, `500ms`.",
    URL_FIELD: "Where the job document is posted, signed as Standard Webhooks do: an https URL of a public address.",
    EVENTS_FIELD: f"Which events are told there, separated by commas: {', '.join(EVENTS)} ({DEFAULT_EVENTS}).",
}


def task_fields() -> dict[str, Schema]:
    """By name, what some task or its drawing takes, in the widest limits that any task has for it."""
    found: dict[str, Schema] = {}
    for kind in TYPES:
        for name, schema in kind.model_json_schema().get("properties", {}).items():
            found[name] = _wider(found.get(name), _plain(schema)) | {"description": MEANINGS[name]}
    return found


def fields(in_path: bool) -> dict[str, Schema]:
    """All fields of a request but the image; the model may be in the path instead."""
    model = {} if in_path else {"model_type": {"type": "string", "minLength": 1, "description": MEANINGS["model_type"]}}
    return model | {
        "mode": {"type": "string", "enum": list(MODES), "description": MEANINGS["mode"]},
        "timeout": {"type": "string", "pattern": DURATION, "minLength": 1, "description": MEANINGS["timeout"]},
        URL_FIELD: {"type": "string", "pattern": "^https?://", "maxLength": MAX_URL,
                    "description": MEANINGS[URL_FIELD]},
        EVENTS_FIELD: {"type": "string", "pattern": f"^({NAMES})(,({NAMES}))*$",
                       "description": MEANINGS[EVENTS_FIELD]},
        **task_fields()}


def query(in_path: bool) -> list[Schema]:
    """The same as parameters of the query. Any of them may be a field of the body instead, which is not told a second
    time: what is given twice has to be the same."""
    return [{"name": name, "in": "query", "schema": {key: schema[key] for key in schema if key != "description"},
             "description": schema["description"]} for name, schema in fields(in_path).items()]


def bodies() -> dict[str, Schema]:
    """Forms and objects that carry an image, by their names among the components."""
    return {
        "UploadedImage": _form("img_file", BINARY, "The image; the part may also be named image, file or data."),
        "ImageByPath": _form("img_file", {"type": "string", "minLength": 1}, "A path below PUNNET_IMAGE_ROOT."),
        "ImageAsText": _form("image", {"type": "string", "format": "byte", "contentEncoding": "base64"},
                             "The image in base64, or as a data: URL; the field may also be named file or data.")}


def body() -> Schema:
    """An image in every content type."""
    upload, path, text = ({"$ref": SCHEMA.format(model=name)} for name in bodies())
    return {"required": True, "description": "One image. The parameters of the query may be fields of a form or of a "
            "JSON object instead.", "content": {
                "multipart/form-data": {"schema": upload}, "application/json": {"schema": {"oneOf": [text, path]}},
                "application/x-www-form-urlencoded": {"schema": path}, "image/*": {"schema": BINARY},
                "application/octet-stream": {"schema": BINARY}}}


def in_path(name: str, meaning: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": meaning}


def header(name: str, meaning: str, schema: Schema | None = None) -> Schema:
    return {"name": name, "in": "header", "schema": schema or {"type": "string"}, "description": meaning}


MODEL_TYPE = in_path("model_type", MEANINGS["model_type"], {"type": "string", "minLength": 1})
JOB_ID = in_path("job_id", "The job's id.", ID)
WAIT = {"name": "wait", "in": "query", "schema": {"type": "number", "minimum": 0}, "description":
        "Answer when the job has ended, or after so many seconds, at most PUNNET_WAIT_MAX_S."}
REQUEST_ID = header("X-Request-ID", "What the request is called in its answer and in the logs, if it is of at most 128 "
                    "plain characters.")
PREFER = header("Prefer", "`respond-async`, `wait=N`, or both (RFC 7240). `mode` beats it; with `sync`, N counts.")
CANCEL_AFTER = header("Cancel-After", "As `timeout`, which beats it.",
                      {"type": "string", "pattern": DURATION, "minLength": 1})
IDEMPOTENCY_KEY = header("Idempotency-Key", "The same request with the same key gets the same job or answer.",
                         {"type": "string", "pattern": f"^({BARE.pattern}|{QUOTED.pattern})$",
                          "maxLength": MAX_CHARACTERS})
LAST_EVENT_ID = header("Last-Event-ID", "The newest event that the caller has.")
LIST = [
    {"name": "state", "in": "query", "schema": {"type": "string", "enum": list(STATES)},
     "description": "In this state."},
    {"name": "model_type", "in": "query", "schema": {"type": "string"}, "description": "Of this model."},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": LIMIT}, "description":
     f"So many, at most {MOST}."},
    {"name": "before", "in": "query", "schema": {"type": "string"},
     "description": "Those accepted before the job with this id."}]


def _form(name: str, image: Schema, meaning: str) -> Schema:
    return {"type": "object", "properties": {name: image | {"description": meaning}}, "required": [name],
            "additionalProperties": False}


def _plain(schema: Schema) -> Schema:
    """Without null, which stands for the model's own value, and without what only Python needs."""
    [wanted] = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    return {key: value for key, value in wanted.items() if key not in ("title", "default", "description")}


def _wider(one: Schema | None, other: Schema) -> Schema:
    if one is None:
        return other
    ends = {"minimum": min, "maximum": max}
    return one | other | {name: pick(one[name], other[name]) for name, pick in ends.items() if name in one}
