import json
import socket
from importlib import import_module
from typing import Any

import pytest

from api import refusals
from api.problems import INTERNAL
from api.refusals import STATUSES, answer, handle_error, problem_of

ADDRESS = ("127.0.0.1", 5000)


def gunicorns() -> Any:
    """The module of gunicorn's exceptions. An import statement would be taken for our folder of that name."""
    return import_module("gunicorn.http.errors")


def answered(error: BaseException, request: Any = None) -> tuple[str, dict[str, str], dict[str, Any]]:
    """The status line, headers and document that a caller reads."""
    ours, caller = socket.socketpair()
    with ours, caller:
        caller.shutdown(socket.SHUT_WR)
        handle_error(request, ours, ADDRESS, error)
        ours.close()
        head, _, body = caller.makefile("rb").read().decode().partition("\r\n\r\n")
    line, *headers = head.split("\r\n")
    return line, dict(header.split(": ", 1) for header in headers), json.loads(body)


@pytest.mark.parametrize(("name", "given", "status", "slug"), [
    ("LimitRequestLine", (5000, 4094), "414 Request-URI Too Long", "bad-request"),
    ("LimitRequestHeaders", ("too many",), "431 Request Header Fields Too Large", "bad-request"),
    ("InvalidRequestLine", ("GARBAGE",), "400 Bad Request", "bad-request"),
    ("InvalidHeader", ("CONTENT-LENGTH",), "400 Bad Request", "bad-request"),
    ("InvalidHeaderName", ("a b",), "400 Bad Request", "bad-request"),
    ("InvalidChunkSize", (b"zz",), "400 Bad Request", "bad-request"),
    ("UnsupportedTransferCoding", ("br",), "501 Not Implemented", "not-implemented"),
    ("InvalidHTTPVersion", ("HTTP/x",), "400 Bad Request", "bad-request"),
    ("InvalidHTTPVersion", ((2, 0),), "505 HTTP Version Not Supported", "bad-request"),
    ("ExpectationFailed", ("200-maybe",), "417 Expectation Failed", "bad-request"),
])
def test_gunicorns_refusals_are_problem_documents(name: str, given: tuple, status: str, slug: str) -> None:
    error = getattr(gunicorns(), name)(*given)
    line, headers, document = answered(error)
    assert line == f"HTTP/1.1 {status}"
    assert (headers["Content-Type"], headers["Connection"]) == ("application/problem+json", "close")
    assert headers["X-Request-ID"] == document["request_id"]
    assert (document["type"], document["status"]) == (f"/problems/{slug}", int(status[:3]))
    assert document["detail"] == str(error)


def test_the_names_are_those_of_gunicorns_exceptions() -> None:
    assert [name for name in STATUSES if not hasattr(gunicorns(), name)] == []


def test_a_header_that_we_made_wrong_is_no_fault_of_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    line, headers, document = answered(gunicorns().InvalidResponseHeader("X"))
    assert (line[9:12], document["type"]) == ("500", "/problems/inference-failed")
    assert headers["X-Request-ID"] in caplog.text


def test_a_fault_of_ours_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    _, headers, document = answered(ZeroDivisionError("inside"))
    assert problem_of(ZeroDivisionError()) == INTERNAL
    assert "inside" not in json.dumps(document)
    assert "inside" in caplog.text
    assert headers["X-Request-ID"] in caplog.text


@pytest.mark.parametrize(("given", "kept"), [("mine-1", True), ("no good", False)])
def test_the_callers_id_is_kept_where_it_could_be_read(given: str, kept: bool) -> None:
    class Request:
        headers = (("HOST", "x"), ("X-REQUEST-ID", given))

    error = gunicorns().InvalidHeader("CONTENT-LENGTH", req=Request())
    assert (answered(error)[1]["X-Request-ID"] == given) == kept


def test_a_refusal_is_one_bounded_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    answered(gunicorns().InvalidRequestLine("x" * 8000))
    [record] = caplog.records
    assert "127.0.0.1" in record.getMessage()
    assert len(record.getMessage()) < refusals.MAX_LOGGED + 150


def test_the_end_of_the_greenlet_is_no_error() -> None:
    ours, caller = socket.socketpair()
    with ours, caller:
        handle_error(None, ours, ADDRESS, SystemExit())
        ours.close()
        assert caller.recv(10) == b""


def test_a_caller_who_is_gone_is_left_alone() -> None:
    ours, caller = socket.socketpair()
    caller.close()
    with ours:
        handle_error(None, ours, ADDRESS, gunicorns().InvalidRequestLine("x"))


def test_its_type_is_below_the_path_of_a_proxy_too() -> None:
    problem = problem_of(gunicorns().InvalidRequestLine("x"))
    assert b'"type":"/vision/problems/bad-request"' in answer(problem, "so", "id", "/vision")
