"""Request bodies: read in large steps without blocking the event loop, bounded, and discarded when refused.

Under gunicorn `time.sleep` and the socket are gevent's: each yields to the other connections.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Request

from api.auth import SHARE_KEY
from api.problems import ApiError, BadRequest, Busy, TooLarge
from shares import Shares

STEP_BYTES = 1 << 18
# gunicorn parses chunks in Python, down to one byte each: a yield comes sooner.
CHUNKED_STEP_BYTES = 1 << 13
# A timer, so that the event loop looks at its sockets before it comes back: after 0 seconds it may go through 50
# callbacks first, each a step of another body.
YIELD_S = 1e-6
READ_KEY, RESERVED_KEY = "punnet.body-read", "punnet.reserved-bytes"
BROKEN_KEY = "punnet.body-broken"  # nothing more of the body is wanted: its sender is too slow, or talks nonsense
# A refused body up to this size is read to its end, and the connection kept; a larger one costs it.
SMALL_BYTES = 1 << 16
LINGER_S = 5.0
_SCRATCH = bytearray(STEP_BYTES)  # where all discarded bytes go; nobody reads it
Environ = dict[str, Any]


class InFlight:
    """Bytes that one web process may reserve for request bodies, with a share for each caller. `turn` lets one body
    take a step between two looks of the event loop at its sockets, so that many that arrive at once do not hold it up
    together."""

    def __init__(self, limit_bytes: int, tell: Callable[[float], None] = lambda reserved_bytes: None) -> None:
        """`tell` is given how many bytes are reserved, whenever that changes."""
        self._shares, self._tell = Shares(limit_bytes), tell
        self.turn = threading.Lock()

    @property
    def reserved_bytes(self) -> float:
        return self._shares.total

    def check(self, size: int, caller: str = "") -> None:
        """Raises Busy where there is no room just now."""
        if not self._shares.has_room(caller, size):
            raise Busy("this process has no room for the request's body just now (PUNNET_INFLIGHT_MB; while others are "
                       "there a caller may have half of it)")

    def reserve(self, size: int, caller: str = "") -> None:
        """Raises Busy where there is no room."""
        self.check(size, caller)
        self._take(caller, size)

    def release(self, size: int, caller: str = "") -> None:
        self._take(caller, -size)

    def _take(self, caller: str, size: int) -> None:
        self._shares.take(caller, size)
        self._tell(self._shares.total)


def admit(request: Request, limit_bytes: int, in_flight: InFlight, copies: int = 1) -> None:
    """Refuse a body by its announced length, before it is read.

    Raises:
        TooLarge.
        Busy: no room for it just now. None is reserved: what is announced may never come.
    """
    announced = request.content_length or 0
    if announced > limit_bytes:
        raise TooLarge(f"the body has {announced} bytes, at most {limit_bytes} are taken (PUNNET_MAX_UPLOAD_MB)")
    in_flight.check(copies * announced, request.environ.get(SHARE_KEY, ""))


def receive(request: Request, limit_bytes: int) -> Iterator[bytes]:
    """The body in steps, as it was sent.

    Raises:
        TooLarge: a chunked body has more than `limit_bytes`.
        TooSlow: it comes more slowly than PUNNET_MIN_UPLOAD_KBPS, or not at all for 20 s.
        BadRequest: the client stopped before its announced length, or its chunks are malformed or absurdly small.
    """
    environ, announced, received = request.environ, request.content_length, 0
    read = _reader(environ, chunked=announced is None)
    while received != announced and (step := read(_step_bytes(announced, received))):
        received += len(step)
        if received > limit_bytes:
            raise _over(limit_bytes)
        environ[READ_KEY] = received == announced
        yield step
    if announced is not None and received < announced:
        raise BadRequest(f"the body ended after {received} of its announced {announced} bytes")
    environ[READ_KEY] = True


def counted(steps: Iterable[bytes], request: Request, limit_bytes: int, in_flight: InFlight,
            copies: int = 1) -> Iterator[bytes]:
    """The steps of a body, with a yield to the other connections between them. What arrived is reserved in `in_flight`
    until `release`, `copies` times where its reader will hold it so often.

    Raises:
        TooLarge: more than `limit_bytes`, also of a body that was unpacked.
        Busy: no room in this process.
    """
    received, is_first = 0, True
    for step in steps:
        if not is_first:
            with in_flight.turn:
                time.sleep(YIELD_S)
        received, is_first = received + len(step), False
        if received > limit_bytes:
            raise _over(limit_bytes)
        reserve(request.environ, copies * received, in_flight)
        if step:
            yield step


def release(environ: Environ, in_flight: InFlight) -> None:
    """Release what this request reserved."""
    in_flight.release(environ.pop(RESERVED_KEY, 0), environ.get(SHARE_KEY, ""))


def reserve(environ: Environ, size: int, in_flight: InFlight) -> None:
    """Reserve `size` bytes for this request from now on, more or fewer than before. Raises Busy."""
    in_flight.reserve(size - environ.get(RESERVED_KEY, 0), environ.get(SHARE_KEY, ""))
    environ[RESERVED_KEY] = size


def _step_bytes(announced: int | None, received: int) -> int:
    return CHUNKED_STEP_BYTES if announced is None else min(STEP_BYTES, announced - received)


def _over(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body has more than {limit_bytes} bytes (PUNNET_MAX_UPLOAD_MB)")


def _reader(environ: Environ, chunked: bool) -> Callable[[int], bytes]:
    """Reads up to so many bytes of the body. Raises TooSlow, BadRequest."""
    connection, read = environ.get("gunicorn.socket"), environ["wsgi.input"].read
    if connection is None:  # as in tests
        return read
    arrival = connection.arrival(chunked)

    def read_within_limits(size: int) -> bytes:
        try:
            return connection.read_body(read, size, arrival)
        except ApiError:
            environ[BROKEN_KEY] = True
            raise
        except Exception as error:  # gunicorn's own exceptions for malformed chunks, and the socket's
            environ[BROKEN_KEY] = True
            raise BadRequest(f"the body cannot be read: {error or type(error).__name__}") from error

    return read_within_limits


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
        if int(environ.get("CONTENT_LENGTH") or STEP_BYTES) <= SMALL_BYTES and not environ.get(BROKEN_KEY):
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
        _reader(environ, chunked=False)(SMALL_BYTES)
    except ApiError:
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
