import io
import socket
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from api import body as body_module
from api.body import (
    BROKEN_KEY,
    READ_KEY,
    RESERVED_KEY,
    SMALL_BYTES,
    STEP_BYTES,
    YIELD_S,
    InFlight,
    RefusedBodies,
    release,
    reserve,
)
from api.problems import BadRequest, Busy, TooLarge, TooSlow

LIMIT = 3 * STEP_BYTES


def receive(request: Request, limit_bytes: int, in_flight: InFlight, copies: int = 1) -> bytes:
    body_module.admit(request, limit_bytes, in_flight, copies)
    steps = body_module.receive(request, limit_bytes)
    return b"".join(body_module.counted(steps, request, limit_bytes, in_flight, copies))


def announced(body: bytes, length: int | None = None) -> Request:
    environ = EnvironBuilder(method="POST", data=body).get_environ()
    return Request(environ | {"CONTENT_LENGTH": str(len(body) if length is None else length)})


def chunked(body: bytes) -> Request:
    environ = EnvironBuilder(method="POST", data=body).get_environ() | {"HTTP_TRANSFER_ENCODING": "chunked"}
    environ.pop("CONTENT_LENGTH", None)
    return Request(environ)


@pytest.mark.parametrize("make", [announced, chunked])
@pytest.mark.parametrize("size", [0, 1, STEP_BYTES, LIMIT])
def test_a_body_is_read_whole_and_its_room_released(make: Callable[[bytes], Request], size: int) -> None:
    request, in_flight = make(b"x" * size), InFlight(LIMIT)
    assert receive(request, LIMIT, in_flight) == b"x" * size
    in_flight.reserve(LIMIT - size)
    in_flight.release(LIMIT - size)
    release(request.environ, in_flight)
    release(request.environ, in_flight)
    in_flight.reserve(LIMIT)
    with pytest.raises(Busy):
        in_flight.reserve(1)


@pytest.mark.parametrize("make", [announced, chunked])
def test_a_body_over_the_limit_is_refused(make: Callable[[bytes], Request]) -> None:
    with pytest.raises(TooLarge, match=str(LIMIT)):
        receive(make(b"x" * (LIMIT + 1)), LIMIT, InFlight(10 * LIMIT))


@pytest.mark.parametrize("make", [announced, chunked])
def test_a_process_without_room_is_busy(make: Callable[[bytes], Request]) -> None:
    request, in_flight = make(b"x" * (2 * STEP_BYTES)), InFlight(STEP_BYTES)
    with pytest.raises(Busy):
        receive(request, LIMIT, in_flight)
    release(request.environ, in_flight)
    in_flight.reserve(STEP_BYTES)


@pytest.mark.parametrize("make", [announced, chunked])
def test_a_body_that_will_exist_twice_is_counted_twice(make: Callable[[bytes], Request]) -> None:
    body = b"x" * STEP_BYTES
    assert receive(make(body), LIMIT, InFlight(2 * STEP_BYTES), copies=2) == body
    with pytest.raises(Busy):
        receive(make(body), LIMIT, InFlight(2 * STEP_BYTES - 1), copies=2)


def test_what_is_reserved_no_more_is_room_again() -> None:
    environ: dict = {}
    in_flight = InFlight(10)
    reserve(environ, 8, in_flight)
    reserve(environ, 3, in_flight)
    in_flight.reserve(7)
    with pytest.raises(Busy):
        reserve(environ, 4, in_flight)
    release(environ, in_flight)
    in_flight.reserve(3)


def test_a_body_that_was_read_to_its_end_keeps_the_connection_also_where_it_is_refused() -> None:
    """As a multipart body is whose last step shows that it is malformed."""
    request = announced(b"x" * (STEP_BYTES + 1))
    steps = body_module.receive(request, LIMIT)
    next(steps)
    assert not request.environ[READ_KEY]
    next(steps)
    del steps
    assert request.environ[READ_KEY]


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    request = announced(b"", length=LIMIT + 1)
    with pytest.raises(TooLarge):
        receive(request, LIMIT, InFlight(LIMIT))
    assert not request.environ.get(READ_KEY)


def test_what_is_announced_and_does_not_come_takes_no_room() -> None:
    """A few clients that announce large bodies and send nothing keep nobody out."""
    in_flight = InFlight(LIMIT)
    request = announced(b"x" * STEP_BYTES, length=LIMIT)
    body_module.admit(request, LIMIT, in_flight)
    steps = body_module.counted(body_module.receive(request, LIMIT), request, LIMIT, in_flight)
    next(steps)
    assert request.environ[RESERVED_KEY] == STEP_BYTES
    assert receive(announced(b"x" * (LIMIT - STEP_BYTES)), LIMIT, in_flight)


def test_an_unpacked_body_is_limited_and_counted_by_what_comes_out() -> None:
    request, in_flight = announced(b"small"), InFlight(10 * LIMIT)
    grown = (bytes(STEP_BYTES) for _ in range(100))
    with pytest.raises(TooLarge):
        for number, _ in enumerate(body_module.counted(grown, request, LIMIT, in_flight), 1):
            assert request.environ[RESERVED_KEY] == number * STEP_BYTES


def test_empty_steps_let_others_in_and_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    yields: list[float] = []
    monkeypatch.setattr("time.sleep", yields.append)
    assert list(body_module.counted([b"a", b"", b"", b"b"], announced(b"x"), LIMIT, InFlight(LIMIT))) == [b"a", b"b"]
    assert yields == [YIELD_S] * 3


class LimitedConnection:
    """A connection that refuses, as api/connection.py does, or gives what is read through it."""

    def __init__(self, refusal: Exception | None) -> None:
        self.refusal = refusal

    def arrival(self, chunked: bool) -> bool:
        return chunked

    def read_body(self, read: Callable[[int], bytes], size: int, arrival: bool) -> bytes:
        if self.refusal:
            raise self.refusal
        return read(size)


@pytest.mark.parametrize(("refusal", "told"), [
    (None, None), (TooSlow("slow"), TooSlow), (OSError("reset"), BadRequest), (BadRequest("tiny chunks"), BadRequest),
    (type("InvalidChunkSize", (Exception,), {})("of gunicorn"), BadRequest)])
def test_a_body_that_cannot_be_read_costs_the_connection(refusal: Exception | None, told: Any) -> None:
    request = announced(b"abc")
    request.environ["gunicorn.socket"] = LimitedConnection(refusal)
    if told is None:
        assert receive(request, LIMIT, InFlight(LIMIT)) == b"abc"
    else:
        with pytest.raises(told, match=str(refusal)):
            receive(request, LIMIT, InFlight(LIMIT))
    assert bool(request.environ.get(BROKEN_KEY)) == (told is not None)


def test_a_client_that_stops_early_is_told() -> None:
    with pytest.raises(BadRequest, match="3 of its announced 5 bytes"):
        receive(announced(b"abc", length=5), LIMIT, InFlight(LIMIT))


def test_large_bodies_let_the_others_in_between_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    yields: list[float] = []
    monkeypatch.setattr("time.sleep", yields.append)
    receive(announced(b"x" * (2 * STEP_BYTES + 5)), LIMIT, InFlight(LIMIT))
    assert yields == [YIELD_S] * 2


class Connection:
    """gunicorn's response object, as far as it is used: its bound method is what the application is given."""

    closes = False

    def force_close(self) -> None:
        self.closes = True

    def start_response(self, *_: Any) -> None:
        """Nothing to note."""


def refuse(environ: dict, start_response: Callable[..., Any]) -> Iterable[bytes]:
    return [b"refused"]


def take(environ: dict, start_response: Callable[..., Any]) -> Iterable[bytes]:
    environ[READ_KEY] = True
    return [b"taken"]


def answered(app: Callable[..., Iterable[bytes]], environ: dict, draining: bool = False) -> tuple[bytes, bool]:
    """The answer, and whether its connection is closed after it."""
    connection = Connection()
    middleware = RefusedBodies(app, lambda: draining)
    return b"".join(middleware({"wsgi.input": io.BytesIO()} | environ, connection.start_response)), connection.closes


@pytest.mark.parametrize(("app", "environ", "closes"), [
    (take, {"CONTENT_LENGTH": "500000"}, False), (refuse, {"CONTENT_LENGTH": "500000"}, True),
    (refuse, {"HTTP_TRANSFER_ENCODING": "chunked"}, True), (refuse, {"CONTENT_LENGTH": "5"}, False),
    (refuse, {"CONTENT_LENGTH": "5", BROKEN_KEY: True}, True),
    (refuse, {"CONTENT_LENGTH": "0"}, False), (refuse, {"CONTENT_LENGTH": ""}, False), (refuse, {}, False),
])
def test_only_a_large_unread_body_costs_the_connection(app: Callable[..., Iterable[bytes]], environ: dict,
                                                       closes: bool) -> None:
    answer, closed = answered(app, environ)
    assert answer == app({}, print)[0]  # type: ignore[index]
    assert closed == closes


def test_a_small_unread_body_is_read_to_its_end() -> None:
    body = io.BytesIO(b"x" * SMALL_BYTES)
    answered(refuse, {"CONTENT_LENGTH": str(SMALL_BYTES), "wsgi.input": body})
    assert body.read() == b""


def test_connections_are_closed_while_draining() -> None:
    assert answered(take, {}, draining=True) == (b"taken", True)


def test_the_client_of_a_refused_body_reads_the_answer_before_it_is_cut_off() -> None:
    """A socket pair in place of a connection: the rest is discarded until the client closes."""
    ours, client = socket.socketpair()
    with ours, client:
        client.sendall(b"x" * 100_000)
        client.shutdown(socket.SHUT_WR)
        answered(refuse, {"CONTENT_LENGTH": "500000", "gunicorn.socket": ours})
        assert client.recv(1) == b""
        assert ours.recv(1) == b""


def test_a_client_that_never_closes_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "LINGER_S", 0.02)
    ours, client = socket.socketpair()
    with ours, client:
        body_module.discard(ours)
        assert client.recv(1) == b""


def test_the_answer_is_closed_where_it_wants_to_be() -> None:
    class Answer(list):
        closed = False

        def close(self) -> None:
            self.closed = True

    answer = Answer([b"refused"])
    answered(lambda *_: answer, {"CONTENT_LENGTH": "500000"})
    assert answer.closed
