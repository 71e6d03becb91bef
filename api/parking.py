"""Callers who wait are parked: thousands of them, each with little memory.

A greenlet keeps the memory of its deepest call for as long as it lives, and gunicorn that of a request for as long as
it is answered. So gunicorn handles a connection in a greenlet that ends when its caller begins to wait. What waits is
another greenlet, which does little else: afterwards gunicorn gets the request anew, or the rest of a stream is sent.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import gevent

from api.access_log import ARRIVED_KEY
from jobs.job import JobRecord

WAITED_KEY = "punnet.waited"  # in the environ: what came of the wait, when the view is called again
STREAM_KEY = "punnet.stream"  # in the environ: the answer is a stream, which says where it pauses by an empty piece
Environ = dict[str, Any]
App = Callable[..., Iterable[bytes]]
Wait = Callable[[], JobRecord]


class Parked(BaseException):
    """Raised by a view that is to be called again with what `wait` returns. It is no error, and Flask lets it pass."""

    def __init__(self, wait: Wait) -> None:
        super().__init__()
        self.wait = wait


def attend(handle: Callable[..., None], listener: Any, connection: Any, address: Any) -> None:
    """Have gunicorn handle a connection, and wait with its caller whenever he is parked."""
    goes_on = True
    while goes_on:
        handling = gevent.spawn(handle, listener, connection, address)
        try:
            handling.get()
        finally:
            handling.kill(block=False)
        parked, connection.parked = connection.parked, None
        goes_on = parked is not None and parked()


class Parking:
    """WSGI middleware for calls that may wait. `count` is told of each caller who is parked (1) and is so no more
    (-1)."""

    def __init__(self, app: App, count: Callable[[int], None]) -> None:
        self._app, self._count = app, count

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not _may_wait(environ):
            return self._app(environ, start_response)
        response = getattr(start_response, "__self__", None)  # gunicorn's
        if _can_be_parked(environ, response):
            return self._parked(environ, start_response, response)
        return self._in_place(environ, start_response)

    def _parked(self, environ: Environ, start_response: Callable[..., Any], response: Any) -> Iterable[bytes]:
        connection = environ["gunicorn.socket"]
        environ |= connection.waited
        connection.waited = {}
        try:
            answer = self._app(environ, start_response)
        except Parked as parked:
            arrived = environ[ARRIVED_KEY]
            connection.parked = partial(self._wait, connection, parked.wait, _head(environ), arrived)
            raise StopIteration from None  # for gunicorn the connection's end
        return Begun(iter(answer), connection, response) if environ.pop(STREAM_KEY, False) else answer

    def _in_place(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """For a request that cannot be given to gunicorn anew, and for tests."""
        while True:
            try:
                return self._app(environ, start_response)
            except Parked as parked:
                environ[WAITED_KEY] = self._waited(parked.wait)

    def _wait(self, connection: Any, wait: Wait, head: bytes, arrived: float) -> bool:
        connection.waited = {WAITED_KEY: self._waited(wait), ARRIVED_KEY: arrived}
        connection.unread(head)
        return True

    def _waited(self, wait: Wait) -> JobRecord:
        self._count(1)
        try:
            return wait()
        finally:
            self._count(-1)


class Begun:
    """A stream that gunicorn begins. At its first pause gunicorn is let go, and `attend` sends the rest."""

    def __init__(self, pieces: Iterator[bytes], connection: Any, response: Any) -> None:
        response.force_close()
        self._pieces, self._connection, self._is_chunked = pieces, connection, response.chunked

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if piece := next(self._pieces):
            return piece
        self._connection.parked = self._rest
        raise OSError(errno.ENOTCONN, "the rest of the stream is sent later")  # for gunicorn the connection's end

    def close(self) -> None:
        if self._connection.parked is None:
            _close(self._pieces)

    def _rest(self) -> bool:
        try:
            for piece in filter(None, self._pieces):
                self._connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if self._is_chunked else piece)
            if self._is_chunked:
                self._connection.sendall(b"0\r\n\r\n")
        except OSError:  # the caller is gone, or does not read
            pass
        finally:
            _close(self._pieces)
        return False


def _may_wait(environ: Environ) -> bool:
    path = environ.get("PATH_INFO", "")
    return (environ["REQUEST_METHOD"] == "GET" and path.startswith("/jobs/")
            and ("wait=" in environ.get("QUERY_STRING", "") or path.endswith("/events")))


def _can_be_parked(environ: Environ, response: Any) -> bool:
    """Whether gunicorn can be given the request anew: it has no body, and nothing came behind it yet."""
    has_body = environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ
    return "gunicorn.socket" in environ and not has_body and not response.req.unreader.buf.tell()


def _head(environ: Environ) -> bytes:
    """The request as it may have come."""
    lines = [f"{environ['REQUEST_METHOD']} {environ['RAW_URI']} {environ['SERVER_PROTOCOL']}",
             *(f"{name.removeprefix('HTTP_').replace('_', '-')}: {value}" for name, value in environ.items()
               if name.startswith("HTTP_")), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _close(pieces: Iterator[bytes]) -> None:
    if hasattr(pieces, "close"):
        pieces.close()
