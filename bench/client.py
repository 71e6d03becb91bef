"""A light HTTP client: as many threads as requests are under way, each with a keep-alive connection over a raw socket.

`closed_loop`: each connection sends as soon as it is answered. `open_loop`: requests are sent at a fixed rate, answered
or not, and latency counts from the moment when each was due, so that a server that stalls cannot hide its waiting.
"""

import contextlib
import http.client
import itertools
import json
import re
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Address = tuple[str, int]
TIMEOUT_S = 600  # a job may wait behind many
RECEIVE_BYTES = 1 << 18
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
BOUNDARY = "------------------------d74496d66958873e"  # as curl writes it
GOOD = (200, 202)
LOST = 0  # in the place of a status: the connection ended without an answer
MOST_CONNECTIONS = 500  # of an open loop; what is due beyond them waits, and its waiting counts


@dataclass(frozen=True)
class Answer:
    """`latency_ms` counts from when the request was due."""

    status: int
    latency_ms: float
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Load:
    """What a loop saw."""

    answers: Sequence[Answer]
    elapsed_s: float

    @property
    def good(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status in GOOD]

    @property
    def latencies_ms(self) -> list[float]:
        return [answer.latency_ms for answer in self.good]

    @property
    def per_s(self) -> float:
        return len(self.good) / self.elapsed_s

    @property
    def others(self) -> Counter[str]:
        return others(answer.status for answer in self.answers)


def others(statuses: Iterable[int]) -> Counter[str]:
    """Answers other than 200 and 202, by status ("lost" without one), as JSON keeps them."""
    return Counter("lost" if status == LOST else str(status) for status in statuses if status not in GOOD)


def multipart(path: str, image: bytes, fields: Mapping[str, str] | None = None) -> bytes:
    """The request of `curl -F name=value -F image=@photo.jpg`."""
    parts = [_part(f'name="{name}"', value.encode()) for name, value in (fields or {}).items()]
    parts.append(_part('name="image"; filename="photo.jpg"', image, "Content-Type: image/jpeg\r\n"))
    body = b"".join((*parts, f"--{BOUNDARY}--\r\n".encode()))
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n"
            f"Content-Length: {len(body)}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
            ).encode() + body


def schedule_s(rate_per_s: float, count: int) -> list[float]:
    """When each request of an open loop is due, in seconds from its start."""
    return [number / rate_per_s for number in range(count)]


class Connection:
    """A keep-alive connection: one request at a time."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def ask(self, request: bytes, due_s: float) -> Answer:
        """Where the server closed the idle connection just before it was sent something, the request is sent again."""
        was_open = self._socket is not None
        status, body = self._exchange(request)
        if status == LOST and was_open and not body:
            status, body = self._exchange(request)
        return Answer(status, (time.perf_counter() - due_s) * 1000, body)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; of a lost connection what came before its end."""
        received = bytearray()
        try:
            self._socket = self._socket or self._connected()
            self._socket.sendall(request)
            while (answer := _complete(received)) is None:
                received += _some(self._socket)
            return answer
        except OSError:
            self.close()
            return LOST, bytes(received)

    def _connected(self) -> socket.socket:
        made = socket.create_connection(self._address, TIMEOUT_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


class Shared(Generic[T]):
    """An iterator from which several threads take."""

    def __init__(self, requests: Iterable[T]) -> None:
        self._requests, self._lock = iter(requests), threading.Lock()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            return next(self._requests)


def each_once(address: Address, requests: Iterable[bytes], connections: int) -> Load:
    """Send each request once, `connections` at a time."""
    begin_s, shared = time.perf_counter(), Shared(requests)

    def keep_asking(_: int) -> list[Answer]:
        with contextlib.closing(Connection(address)) as connection:
            return [connection.ask(request, time.perf_counter()) for request in shared]

    with ThreadPoolExecutor(connections) as threads:
        found = [answer for answers in threads.map(keep_asking, range(connections)) for answer in answers]
    return Load(found, time.perf_counter() - begin_s)


def closed_loop(address: Address, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Keep `connections` new connections busy for `seconds`; the last answers are waited for and counted."""
    until_s = time.perf_counter() + seconds
    return each_once(address, itertools.takewhile(lambda _: time.perf_counter() < until_s, itertools.cycle(requests)),
                     connections)


def open_loop(address: Address, requests: Sequence[bytes], rate_per_s: float, count: int) -> Load:
    """Send `count` requests at a fixed rate; the connection that was idle for longest is used next."""
    begin_s, idle = time.perf_counter(), deque[Connection]()

    def ask(request: bytes, due_s: float) -> Answer:
        try:
            connection = idle.popleft()
        except IndexError:
            connection = Connection(address)
        answer = connection.ask(request, due_s)
        idle.append(connection)
        return answer

    with ThreadPoolExecutor(MOST_CONNECTIONS) as threads:
        asked = []
        for due_s, request in zip(schedule_s(rate_per_s, count), itertools.cycle(requests), strict=False):
            time.sleep(max(0.0, begin_s + due_s - time.perf_counter()))
            asked.append(threads.submit(ask, request, begin_s + due_s))
        load = Load([one.result() for one in asked], time.perf_counter() - begin_s)
    for connection in idle:
        connection.close()
    return load


def get(address: Address, path: str) -> tuple[int, Any]:
    """Status and document of a single call."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def _some(connection: socket.socket) -> bytes:
    """Raises ConnectionError where the server has closed the connection."""
    received = connection.recv(RECEIVE_BYTES)
    if not received:
        raise ConnectionError("closed by the server")
    return received


def _complete(received: bytearray) -> tuple[int, bytes] | None:
    """Status and body, if all of it is there."""
    head, separator, body = received.partition(b"\r\n\r\n")
    length = CONTENT_LENGTH.search(head)
    is_whole = separator and length is not None and len(body) >= int(length[1])
    return (int(head[9:12]), bytes(body)) if is_whole else None


def _part(disposition: str, content: bytes, more: str = "") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n"
    return head.encode() + content + b"\r\n"
