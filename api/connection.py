"""A caller's connection, with limits to how slowly he may send a body and read his answer.

gunicorn reads and writes it. A limit has to be where it waits: it asks for a step of a body, and waits until all of it
is there, however slowly it comes.
"""

import errno
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from api.auth import network
from api.parking import attend
from api.problems import BadRequest, TooSlow
from shares import Shares

GRACE_S = 10.0  # of a body, before its average counts
IDLE_BODY_S = 20.0  # a body of which nothing comes for so long is given up, however fast it was before
SEND_S = 10.0  # for the next piece of an answer to be taken
HURRIED_S = 1.0  # the same where callers who do not read hold much memory, or the service is being stopped
LOOK_S = 0.25  # between two looks which of the two it is
PIECE_BYTES = 1 << 16
# The kernel keeps no more of an answer that the caller does not take. Without this it may be 4 MB, taken in lumps.
UNSENT_BYTES = 1 << 17
# gunicorn parses each chunk in Python, which takes 9 microseconds: one byte a chunk would be 9 seconds a megabyte.
MIN_CHUNK_BYTES = 64
FREE_CHUNKS = 1000  # a caller who sends a few short lines as chunks is no burden
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Arrival:
    """How one body arrives. Only the time counts that was spent waiting for the caller."""

    least_kbps: float
    chunked: bool = False
    waited_s: float = 0.0
    received: int = 0
    line_ends: int = field(default=0, init=False)

    def patience_s(self) -> float:
        """How long to wait for what comes next. Raises TooSlow."""
        allowed_s = max(GRACE_S, self.received / (1000 * self.least_kbps))
        left_s = min(IDLE_BODY_S, allowed_s - self.waited_s)
        if left_s <= 0:
            raise self.too_slow()
        return left_s

    def count(self, data: bytes, waited_s: float) -> None:
        """Raises BadRequest for chunks that are absurdly small."""
        self.waited_s += waited_s
        self.received += len(data)
        if self.chunked:
            self.line_ends += data.count(b"\r\n")  # two a chunk
            chunks = self.line_ends // 2
            if chunks > FREE_CHUNKS and self.received < MIN_CHUNK_BYTES * chunks:
                raise BadRequest(f"the body's chunks have fewer than {MIN_CHUNK_BYTES} bytes on average: send larger "
                                 "ones")

    def too_slow(self) -> TooSlow:
        return TooSlow(f"{self.received} bytes of the body came in {self.waited_s:.0f} s: at least "
                       f"{self.least_kbps:g} kB a second are wanted (PUNNET_MIN_UPLOAD_KBPS), and a pause of at most "
                       f"{IDLE_BODY_S:g} s")


class Patience:
    """How long one web process waits for its callers to take their answers: less where it holds many bytes for them,
    and while it is being stopped."""

    def __init__(self, least_kbps: float, most_unsent_bytes: float, is_draining: Callable[[], bool]) -> None:
        self.least_kbps, self.unsent_bytes = least_kbps, 0
        self._most_unsent_bytes, self._is_draining = most_unsent_bytes, is_draining

    @property
    def send_s(self) -> float:
        """How long the next piece of an answer may take."""
        return HURRIED_S if self.unsent_bytes > self._most_unsent_bytes or self._is_draining() else SEND_S

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """So many bytes of an answer are held until they are sent."""
        self.unsent_bytes += size
        try:
            yield
        finally:
            self.unsent_bytes -= size


def limited(handle: Callable[..., None], patience: Patience, places: Shares) -> Callable[..., None]:
    """gunicorn's `handle(listener, socket, address)` of a connection, with our limits. An address that has its share of
    the process's connections gets no further one: it is closed at once, before a byte is read."""
    def handle_limited(listener: Any, connected: socket.socket, address: Sequence[Any]) -> None:
        with places.place(network(address[0] if address else "")) as has_place:
            if has_place:
                attend(handle, listener, Connection(connected, patience), address)
            else:
                connected.close()

    return handle_limited


class Connection:
    """A socket, and what gunicorn's worker and our code do with it. What is not limited goes to the socket itself."""

    def __init__(self, connected: socket.socket, patience: Patience) -> None:
        self._socket, self._patience = connected, patience
        self._arrival: Arrival | None = None
        # For parking.py: what to do once gunicorn lets go, and what the next request, which is read again, came to.
        self.parked: Callable[[], bool] | None = None
        self.waited: dict[str, Any] = {}
        self._unread = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def arrival(self, chunked: bool) -> Arrival:
        """For a new body."""
        return Arrival(self._patience.least_kbps, chunked)

    def read_body(self, read: Callable[[int], bytes], size: int, arrival: Arrival) -> bytes:
        """What `read` reads from this connection, a part of the body that is arriving.

        Raises:
            TooSlow, BadRequest: and what `read` raises.
        """
        self._arrival = arrival
        try:
            return read(size)
        finally:
            self._arrival = None
            self._socket.settimeout(None)

    def close(self) -> None:
        """gunicorn lets go. The connection of a caller who waits stays open."""
        if self.parked is None:
            self._socket.close()

    def unread(self, data: bytes) -> None:
        """Let this be read before anything else."""
        self._unread = data

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self._unread and not flags:
            data, self._unread = self._unread[:size], self._unread[size:]
            return data
        if self._arrival is None:
            return self._socket.recv(size, flags)
        return self._recv_body(size, self._arrival)

    def _recv_body(self, size: int, arrival: Arrival) -> bytes:
        self._socket.settimeout(arrival.patience_s())
        began = time.monotonic()
        try:
            data = self._socket.recv(size)
        except TimeoutError as error:
            arrival.waited_s += time.monotonic() - began
            raise arrival.too_slow() from error
        arrival.count(data, time.monotonic() - began)
        return data

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """Send an answer, or a part of it.

        Raises:
            ConnectionResetError: the caller does not read it; the connection is of no use any more.
        """
        try:
            if len(data) <= PIECE_BYTES:
                self._socket.settimeout(self._patience.send_s)
                self._socket.sendall(data)
            else:
                self._send_large(data)
        except TimeoutError as error:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)  # else the kernel tries on
            raise ConnectionResetError(errno.ECONNRESET, "the caller does not read his answer") from error
        finally:
            self._socket.settimeout(None)

    def _send_large(self, data: bytes) -> None:
        """Raises TimeoutError."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self._socket.settimeout(LOOK_S)
        with self._patience.holding(len(data)):
            for at in range(0, len(data), PIECE_BYTES):
                self._send_piece(memoryview(data)[at:at + PIECE_BYTES])

    def _send_piece(self, piece: memoryview) -> None:
        """Raises TimeoutError where not all of it is taken in time, however often some of it is."""
        began = time.monotonic()
        while piece:
            with suppress(TimeoutError):
                piece = piece[self._socket.send(piece):]
            if piece and time.monotonic() - began >= self._patience.send_s:
                raise TimeoutError
