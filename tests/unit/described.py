"""What is answered, beside what the reference says of it."""

from typing import Any

import jsonschema_rs
from pydantic import TypeAdapter

from api.reference.results import Result


def closed(schema: Any) -> Any:
    """The same where nothing but what is described may be in an object."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(part) for key, part in schema.items()}
    is_whole = schema.get("type") == "object" and "properties" in schema
    return parts | ({"additionalProperties": False} if is_whole else {})


RESULT = jsonschema_rs.validator_for(closed(TypeAdapter(Result).json_schema()))
