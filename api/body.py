"""Request bodies: read in large steps without blocking the event loop, bounded, and discarded when refused.

Under gunicorn `time.sleep` and the socket are gevent's: each yields to the other connections.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Request

from api.problems import BadRequest, Busy, TooLarge

STEP_BYTES = 1 << 18
# gunicorn parses chunks in Python, down to one byte each: a yield comes sooner.
CHUNKED_STEP_BYTES = 1 << 13
IDLE_BODY_S = 20.0
# A timer, so that the event loop looks at its sockets before it comes back: after 0 seconds it may go through 50
# callbacks first, each a step of another body.
YIELD_S = 1e-6
READ_KEY, RESERVED_KEY = "punnet.body-read", "punnet.reserved-bytes"
# A refused body up to this size is read to its end, and the connection kept; a larger one costs it.
SMALL_BYTES = 1 << 16
LINGER_S = 5.0
_SCRATCH = bytearray(STEP_BYTES)  # where all discarded bytes go; nobody reads it
Environ = dict[str, Any]


class InFlight:
    """Bytes that one web process may reserve for request bodies. `turn` lets one body take a step between two
    looks of the event loop at its sockets, so that many that arrive at once do not hold it up together."""

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes
        self.turn = threading.Lock()

    def reserve(self, size: int) -> None:
        """Raises Busy where there is no room."""
        if size > self._left:
            raise Busy("this process has no room for the request's body just now (PUNNET_INFLIGHT_MB)")
        self._left -= size

    def release(self, size: int) -> None:
        self._left += size


def receive(request: Request, limit_bytes: int, in_flight: InFlight, copies: int = 1) -> Iterator[bytes]:
    """The body in steps, each followed by a yield to the other connections. Its bytes are reserved in `in_flight`
    until `release`, `copies` times where its reader will hold it so often.

    Raises:
        TooLarge: more than `limit_bytes`, announced or found while reading.
        BadRequest: the client stopped before its announced length, or sends nothing for 20 s.
        Busy: no room in this process.
    """
    announced, received = request.content_length, 0
    if announced is not None and announced > limit_bytes:
        raise TooLarge(f"the body has {announced} bytes, at most {limit_bytes} are taken (PUNNET_MAX_UPLOAD_MB)")
    reserve(request.environ, copies * (announced or 0), in_flight)
    while received != announced and (step := _read(request.environ, _step_bytes(announced, received), IDLE_BODY_S)):
        received += len(step)
        if received > limit_bytes:
            raise TooLarge(f"the body has more than {limit_bytes} bytes (PUNNET_MAX_UPLOAD_MB)")
        if announced is None:
            reserve(request.environ, copies * received, in_flight)
        request.environ[READ_KEY] = received == announced
        yield step
        if received != announced:
            with in_flight.turn:
                time.sleep(YIELD_S)
    if announced is not None and received < announced:
        raise BadRequest(f"the body ended after {received} of its announced {announced} bytes")
    request.environ[READ_KEY] = True


def release(environ: Environ, in_flight: InFlight) -> None:
    """Release what this request reserved."""
    in_flight.release(environ.pop(RESERVED_KEY, 0))


def reserve(environ: Environ, size: int, in_flight: InFlight) -> None:
    """Reserve `size` bytes for this request from now on, more or fewer than before. Raises Busy."""
    in_flight.reserve(size - environ.get(RESERVED_KEY, 0))
    environ[RESERVED_KEY] = size


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
    """WSGI middleware: a caller who is refused before his body was read gets the answer, not a reset.

    gunicorn would read the rest in 1-KiB steps without yielding, which stalls all other connections, or close with
    bytes unread, which the client sees as a reset. So this answers, half-closes, discards for a while and closes;
    nginx calls it a lingering close. It also closes connections after their answer while the service is being stopped.
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
