"""Which model a request is for."""

from typing import Any

from api.problems import BadRequest
from api.services import Services
from inference.model_names import composed


def asked_for(service: Services, given: Any, in_path: str | None) -> str:
    """The name that is asked for, composed as the models' names are.

    Raises:
        BadRequest: none, or two.
    """
    given, in_path = (composed(name) if isinstance(name, str) else name for name in (given, in_path))
    if given is not None and in_path is not None and given != in_path:
        raise BadRequest(f"model_type is {given!r} in the body and {in_path!r} in the path")
    name = given if in_path is None else in_path
    if not isinstance(name, str) or not name:
        raise BadRequest(f"field model_type is missing; there is: {service.catalogue.names}")
    return name
