"""What gunicorn refuses before the application hears of it, told as a problem document like any other refusal.

gunicorn's worker answers such a request itself, in HTML. Its method that does so is replaced on the worker when it
starts, so that nothing of gunicorn is imported here: its exceptions are known by their names.
"""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import orjson

from api import problems
from api.body import discard
from api.problems import Problem
from api.request_id import request_id

log = logging.getLogger(__name__)
MAX_LOGGED = 200  # characters: what is quoted was sent by anybody
# The class of gunicorn's exception -> HTTP status. What it derives of ParseException and is not named here is 400.
STATUSES = {"LimitRequestLine": 414, "LimitRequestHeaders": 431, "ExpectationFailed": 417, "InvalidHTTPVersion": 505,
            "UnsupportedTransferCoding": 501, "ForbiddenProxyRequest": 403, "ParseException": 400,
            "ConfigurationProblem": 500, "InvalidResponseHeader": 500, "InvalidResponseHeaderName": 500}
SLUGS = {403: "forbidden", 501: "not-implemented"}


def handle_error(request: Any, connection: Any, address: Sequence[Any], error: BaseException,
                 url_prefix: str = "", count: Callable[[Problem], None] = lambda problem: None) -> None:
    """In place of the method of gunicorn's worker: answer, log a line, and let the caller read the answer."""
    if not isinstance(error, Exception):  # the end of this greenlet: the service is being stopped
        return
    problem, identity = problem_of(error), _request_id(request or getattr(error, "req", None))
    _log(problem, identity, address, error)
    count(problem)
    try:
        connection.sendall(answer(problem, _detail(problem, error), identity, url_prefix))
    except OSError:  # the caller is gone
        return
    discard(connection)


def problem_of(error: BaseException) -> Problem:
    """How the error is told; what is not gunicorn's refusal of a request is a fault of ours."""
    names = (kind.__name__ for kind in type(error).__mro__)
    status = next((STATUSES[name] for name in names if name in STATUSES), 500)
    if status == 505 and not isinstance(getattr(error, "version", None), tuple):
        status = 400  # what stands in the place of the version is none
    if status == 500:
        return problems.INTERNAL
    return Problem(status, SLUGS.get(status, "bad-request"), HTTPStatus(status).phrase)


def answer(problem: Problem, detail: str, identity: str, url_prefix: str) -> bytes:
    """The whole answer, as it is sent."""
    document = orjson.dumps(problems.document(problem, detail, identity, url_prefix)) + b"\n"
    head = (f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/problem+json\r\nContent-Length: {len(document)}\r\n"
            f"X-Request-ID: {identity}\r\n\r\n")
    return head.encode("ascii") + document


def _request_id(request: Any) -> str:
    """The caller's, where his headers could be read."""
    return request_id(dict(getattr(request, "headers", ())).get("X-REQUEST-ID", ""))


def _log(problem: Problem, identity: str, address: Sequence[Any], error: Exception) -> None:
    if problem is problems.INTERNAL:
        log.error("request %s: unexpected error", identity, exc_info=error)
    else:
        log.info("request %s from %s is refused with %s: %s", identity, (address or "-")[0], problem.status,
                 str(error)[:MAX_LOGGED])


def _detail(problem: Problem, error: BaseException) -> str:
    if problem is problems.INTERNAL:
        return f"unexpected {type(error).__name__}; the server's log has it under this request_id"
    return str(error) or problem.title
