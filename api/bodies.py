"""Request bodies: read in large steps without blocking the hub, bounded, and put aside when refused.

Under gunicorn `time.sleep` and the socket are gevent's: each yields to the other connections.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Request

from api.errors import BadRequest, Busy, TooLarge

STEP_BYTES = 1 << 20
# gunicorn parses chunks in Python, down to one byte each: a yield comes sooner.
CHUNKED_STEP_BYTES = 1 << 13
IDLE_BODY_S = 20.0
# A timer: gevent's loop looks at its sockets before it comes back, where after 0 it may go through 50 callbacks first:
# one body's steps of 0.8 ms then keep an answer for 30 ms.
YIELD_S = 1e-6
READ_KEY, HELD_KEY = "punnet.body-read", "punnet.held-bytes"
# A refused body up to this size is read to its end, and the connection kept; a larger one costs it.
SMALL_BYTES = 1 << 16
LINGER_S = 5.0
_SCRATCH = bytearray(STEP_BYTES)  # where all discarded bytes go; nobody reads it
Environ = dict[str, Any]


class InFlight:
    """Bytes of request bodies that one process holds at a time. `turn` lets one body take a step between two looks of
    the loop at its sockets: of 16 that arrive at once, 2 ms of the hub instead of 7."""

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes
        self.turn = threading.Lock()

    def take(self, size: int) -> None:
        """Raises Busy where there is no room."""
        if size > self._left:
            raise Busy("this process holds as many request bodies as it may (PUNNET_INFLIGHT_MB)")
        self._left -= size

    def give_back(self, size: int) -> None:
        self._left += size


def receive(request: Request, limit_bytes: int, in_flight: InFlight, copies: int = 1) -> Iterator[bytes]:
    """The body in steps, each followed by a yield to the other connections. It is counted in `in_flight` until
    `release`, `copies` times where who reads it will hold it so often.

    Raises:
        TooLarge: more than `limit_bytes`, announced or found while reading.
        BadRequest: the client stopped before its announced length, or sends nothing for 20 s.
        Busy: no room in this process.
    """
    announced, received = request.content_length, 0
    if announced is not None and announced > limit_bytes:
        raise TooLarge(f"the body has {announced} bytes, at most {limit_bytes} are taken (PUNNET_MAX_UPLOAD_MB)")
    hold(request.environ, copies * (announced or 0), in_flight)
    while received != announced and (step := _read(request.environ, _step_bytes(announced, received), IDLE_BODY_S)):
        received += len(step)
        if received > limit_bytes:
            raise TooLarge(f"the body has more than {limit_bytes} bytes (PUNNET_MAX_UPLOAD_MB)")
        if announced is None:
            hold(request.environ, copies * received, in_flight)
        request.environ[READ_KEY] = received == announced
        yield step
        if received != announced:
            with in_flight.turn:
                time.sleep(YIELD_S)
    if announced is not None and received < announced:
        raise BadRequest(f"the body ended after {received} of its announced {announced} bytes")
    request.environ[READ_KEY] = True


def release(environ: Environ, in_flight: InFlight) -> None:
    """Give back what this request took."""
    in_flight.give_back(environ.pop(HELD_KEY, 0))


def hold(environ: Environ, size: int, in_flight: InFlight) -> None:
    """Count that this request holds `size` bytes from now on, more or fewer than before. Raises Busy."""
    in_flight.take(size - environ.get(HELD_KEY, 0))
    environ[HELD_KEY] = size


def _step_bytes(announced: int | None, received: int) -> int:
    return CHUNKED_STEP_BYTES if announced is None else min(STEP_BYTES, announced - received)


def _read(environ: Environ, size: int, idle_s: float) -> bytes:
    """Up to `size` bytes of the body.

    Raises:
        BadRequest: nothing came for `idle_s`, the client is gone, or its chunks are malformed.
    """
    connection = environ.get("gunicorn.socket")
    try:
        if connection is not None:
            connection.settimeout(idle_s)
        return environ["wsgi.input"].read(size)
    except Exception as error:  # gunicorn's own exceptions for malformed chunks, and the socket's
        raise BadRequest(f"the body cannot be read: {error or type(error).__name__}") from error
    finally:
        if connection is not None:
            connection.settimeout(None)


class RefusedBodies:
    """WSGI middleware: who is refused before his body was read gets the answer, not a reset.

    gunicorn would read the rest in 1-KiB steps without yielding (400 MB stalled all others for 25 s), or close with
    bytes unread, which the client sees as a reset. So: answer, half-close, discard for a while, close; nginx calls
    it a lingering close. The same place closes connections after their answer while the service is being stopped.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], draining: Callable[[], bool]) -> None:
        self._app = app
        self._draining = draining

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = self._app(environ, start_response)
        if self._draining():
            _close_after(start_response)
        if not _has_unread_body(environ):
            return answer
        if int(environ.get("CONTENT_LENGTH") or STEP_BYTES) <= SMALL_BYTES:
            return _then(answer, lambda: _read_rest(environ))
        _close_after(start_response)
        return _then(answer, lambda: discard(environ.get("gunicorn.socket")))


def _has_unread_body(environ: Environ) -> bool:
    has_body = environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ
    return has_body and not environ.get(READ_KEY)


def _close_after(start_response: Callable[..., Any]) -> None:
    """gunicorn ignores an application's `Connection: close`; its response object, whose method this is, does not."""
    force_close = getattr(getattr(start_response, "__self__", None), "force_close", None)
    if force_close is not None:
        force_close()


def _then(answer: Iterable[bytes], afterwards: Callable[[], None]) -> Iterator[bytes]:
    try:
        yield from answer
    finally:
        if hasattr(answer, "close"):
            answer.close()
    afterwards()


def _read_rest(environ: Environ) -> None:
    """A small body, so that the connection can be kept; one that does not come costs it."""
    try:
        _read(environ, SMALL_BYTES, LINGER_S)
    except BadRequest:
        discard(environ.get("gunicorn.socket"))


def discard(connection: socket.socket | None) -> None:
    """Half-close, then read and forget until the client closes, for at most 5 s."""
    if connection is None:
        return
    until = time.monotonic() + LINGER_S
    try:
        connection.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv_into(_SCRATCH):
                return
            time.sleep(YIELD_S)
    except OSError:  # the client is gone, or slow: it has had its answer
        return
