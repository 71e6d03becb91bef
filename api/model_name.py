"""Which model a request is for."""

from typing import Any

from api.problems import BadRequest
from api.services import Services
from inference.model_names import composed


def asked_for(service: Services, given: Any, in_path: str | None) -> str:
    """The name that is asked for, composed as the models' names are.

    Raises:
        BadRequest: none, two, or what is no text.
    """
    given, in_path = (composed(name) if isinstance(name, str) else name for name in (given, in_path))
    if given is not None and in_path is not None and given != in_path:
        raise BadRequest(f"model_type is {given!r} in the body and {in_path!r} in the path")
    name = given if in_path is None else in_path
    if not isinstance(name, str) or not name:
        trouble = "is missing" if name is None or name == "" else "should be text, the name of a model"
        raise BadRequest(f"field model_type {trouble}; there is: {service.catalogue.names}")
    return name
