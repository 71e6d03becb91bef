"""Request bodies: read in large steps without blocking the hub, bounded, and put aside when refused.

Under gunicorn `time.sleep` and the socket are gevent's: each yields to the other connections.
"""

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Request

from api.errors import BadRequest, Busy, TooLarge

STEP_BYTES = 1 << 20
READ_KEY = "punnet.body-read"
# A refused body up to this size is read to its end, and the connection kept; a larger one costs it.
SMALL_BYTES = 1 << 16
LINGER_S = 5.0
Environ = dict[str, Any]


class InFlight:
    """Bytes of request bodies that one process holds at a time."""

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes

    def take(self, size: int) -> None:
        """Raises Busy where there is no room."""
        if size > self._left:
            raise Busy("this process holds as many request bodies as it may (PUNNET_INFLIGHT_MB)")
        self._left -= size

    def give_back(self, size: int) -> None:
        self._left += size


def receive(request: Request, limit_bytes: int, in_flight: InFlight) -> bytes:
    """The whole body; what it takes of `in_flight` is given back by `release`.

    Raises:
        TooLarge: more than `limit_bytes`, announced or found while reading.
        BadRequest: the client stopped before its announced length.
        Busy: no room in this process.
    """
    announced = request.content_length
    if announced is not None and announced > limit_bytes:
        raise TooLarge(f"the body has {announced} bytes, at most {limit_bytes} are taken (PUNNET_MAX_UPLOAD_MB)")
    _hold(request.environ, announced or 0, in_flight)
    body = _read(request.environ, limit_bytes, in_flight if announced is None else None)
    if announced is not None and len(body) < announced:
        raise BadRequest(f"the body ended after {len(body)} of its announced {announced} bytes")
    request.environ[READ_KEY] = True
    return body


def release(environ: Environ, in_flight: InFlight) -> None:
    """Give back what this request's body took."""
    in_flight.give_back(environ.pop("punnet.held-bytes", 0))


def _hold(environ: Environ, size: int, in_flight: InFlight) -> None:
    in_flight.take(size)
    environ["punnet.held-bytes"] = environ.get("punnet.held-bytes", 0) + size


def _read(environ: Environ, limit_bytes: int, counting: InFlight | None) -> bytes:
    """Read to the end; a body of unknown length (chunked) is counted as it arrives."""
    steps, total = [], 0
    while step := environ["wsgi.input"].read(STEP_BYTES):
        total += len(step)
        if total > limit_bytes:
            raise TooLarge(f"the body has more than {limit_bytes} bytes (PUNNET_MAX_UPLOAD_MB)")
        if counting is not None:
            _hold(environ, len(step), counting)
        steps.append(step)
        if len(step) == STEP_BYTES:
            time.sleep(0)
    return steps[0] if len(steps) == 1 else b"".join(steps)


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
            environ["wsgi.input"].read(SMALL_BYTES)
            return answer
        _close_after(start_response)
        return _then_discard(answer, environ)


def _has_unread_body(environ: Environ) -> bool:
    has_body = environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ
    return has_body and READ_KEY not in environ


def _close_after(start_response: Callable[..., Any]) -> None:
    """gunicorn ignores an application's `Connection: close`; its response object, whose method this is, does not."""
    force_close = getattr(getattr(start_response, "__self__", None), "force_close", None)
    if force_close is not None:
        force_close()


def _then_discard(answer: Iterable[bytes], environ: Environ) -> Iterator[bytes]:
    try:
        yield from answer
    finally:
        if hasattr(answer, "close"):
            answer.close()
    if connection := environ.get("gunicorn.socket"):
        discard(connection)


def discard(connection: socket.socket) -> None:
    """Half-close, then read and forget until the client closes, for at most 5 s."""
    until, scratch = time.monotonic() + LINGER_S, bytearray(STEP_BYTES)
    try:
        connection.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv_into(scratch):
                return
            time.sleep(0)
    except OSError:  # the client is gone, or slow: it has had its answer
        return
