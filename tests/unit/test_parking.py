"""How callers are parked, with gunicorn's own parser and response."""

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import pytest
from gunicorn.config import Config  # type: ignore[import-not-found]
from gunicorn.http import RequestParser, wsgi  # type: ignore[import-not-found]

from api.access_log import ARRIVED_KEY
from api.connection import Connection, Patience
from api.parking import STREAM_KEY, WAITED_KEY, Parked, Parking, attend
from jobs.job import JobRecord

RECORD = cast(JobRecord, "what came of it")
HEAD = b"GET /jobs/a?wait=5 HTTP/1.1\r\nHost: here\r\nX-API-Key: mine\r\nConnection: close\r\n\r\n"
EVENTS = HEAD.replace(b"?wait=5", b"/events")
Environ = dict[str, Any]


class Gunicorn:
    """Handles one request of a connection as gunicorn's worker does, but for its errors. `times` counts how often."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app, self.times = app, 0

    def handle(self, listener: None, connection: Any, address: tuple[str, int]) -> None:
        self.times += 1
        request = next(RequestParser(Config(), connection, address))
        response, environ = wsgi.create(request, connection, address, ("127.0.0.1", 80), Config())
        try:
            answer = self._app(environ, response.start_response)
            try:
                for piece in answer:
                    response.write(piece)
                response.close()
            finally:
                if hasattr(answer, "close"):
                    answer.close()
        except (StopIteration, OSError):
            pass
        connection.close()


class View:
    """A view that waits once; `open` is how many callers are parked while they wait."""

    def __init__(self) -> None:
        self.seen: list[Environ] = []
        self.parked, self.open_while_waiting = 0, 0

    def count(self, more: int) -> None:
        self.parked += more

    def wait(self) -> JobRecord:
        self.open_while_waiting = self.parked
        return RECORD

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ.setdefault(ARRIVED_KEY, 7.0 + len(self.seen))
        self.seen.append(dict(environ))
        if WAITED_KEY not in environ:
            raise Parked(self.wait)
        text = f"{environ[WAITED_KEY]}, {environ['HTTP_X_API_KEY']}".encode()
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return [text]


def exchanged(app: Callable[..., Iterable[bytes]], sent: bytes) -> tuple[bytes, int]:
    """What a caller gets who sends this, and how often gunicorn handled his connection."""
    ours, theirs = socket.socketpair()
    gunicorn = Gunicorn(app)
    with ours, theirs:
        ours.sendall(sent)
        attend(gunicorn.handle, None, Connection(theirs, Patience(8, 10**6, lambda: False)), ("127.0.0.1", 1))
        theirs.close()
        received = b""
        while piece := ours.recv(1 << 16):
            received += piece
    return received, gunicorn.times


def test_a_caller_who_waits_is_parked_and_then_answered_as_if_he_had_come_again() -> None:
    view = View()
    received, times = exchanged(Parking(view, view.count), HEAD)
    assert received.endswith(b"\r\n\r\nwhat came of it, mine")
    assert (times, view.open_while_waiting, view.parked) == (2, 1, 0)
    first, second = view.seen
    assert (first["HTTP_HOST"], first["QUERY_STRING"]) == (second["HTTP_HOST"], second["QUERY_STRING"])
    assert second[ARRIVED_KEY] == 7.0  # the log tells of the whole time


@pytest.mark.parametrize("sent", [
    HEAD + b"GET /next HTTP/1.1\r\n\r\n", HEAD.replace(b"Host", b"Content-Length: 2\r\nHost") + b"{}"])
def test_a_request_that_gunicorn_cannot_be_given_again_waits_in_place(sent: bytes) -> None:
    view = View()
    received, times = exchanged(Parking(view, view.count), sent)
    assert received.endswith(b"what came of it, mine")
    assert (times, view.open_while_waiting) == (1, 1)


def test_what_does_not_wait_is_left_alone() -> None:
    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("204 No Content", [])
        return []

    assert exchanged(Parking(app, lambda _: None), HEAD.replace(b"?wait=5", b""))[0].startswith(b"HTTP/1.1 204")


def streaming(pieces: Iterator[bytes]) -> Callable[..., Iterable[bytes]]:
    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[STREAM_KEY] = True
        start_response("200 OK", [])
        return pieces

    return app


@pytest.mark.parametrize(("version", "body"), [
    (b"1.1", b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"), (b"1.0", b"onetwothree")])
def test_the_rest_of_a_stream_is_sent_when_gunicorn_has_let_go(version: bytes, body: bytes) -> None:
    handled: list[int] = []

    def pieces() -> Iterator[bytes]:
        yield b"one"
        yield b""
        handled.append(1)
        yield b"two"
        yield b"three"

    received, times = exchanged(Parking(streaming(pieces()), lambda _: None), EVENTS.replace(b"1.1", version))
    assert received.partition(b"\r\n\r\n")[2] == body
    assert b"Connection: close" in received
    assert (times, handled) == (1, [1])


def test_a_stream_whose_caller_has_gone_is_closed() -> None:
    closed: list[bool] = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b""
            while True:
                yield b"x" * 100_000
        finally:
            closed.append(True)

    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(EVENTS)
        app = Parking(streaming(pieces()), lambda _: ours.close())
        connection = Connection(theirs, Patience(8, 10**6, lambda: False))

        def handle(*arguments: Any) -> None:
            Gunicorn(app).handle(*arguments)
            ours.close()

        attend(handle, None, connection, ("127.0.0.1", 1))
    assert closed == [True]


def test_gunicorns_buffer_of_what_came_behind_a_request_is_where_it_is_looked_for() -> None:
    """A private name of the library's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(HEAD + b"more")
        request = next(RequestParser(Config(), theirs, ("127.0.0.1", 1)))
        assert request.unreader.buf.tell() == len(b"more")
