"""A light HTTP client: keep-alive connections over raw sockets in one process, without a thread.

`closed_loop`: each connection sends as soon as it is answered. `open_loop`: requests are sent at a fixed rate, answered
or not, and latency counts from the moment when each was due, so that a server that stalls cannot hide its waiting.
"""

import contextlib
import gc
import http.client
import itertools
import json
import re
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.pool import Pool
from typing import Any, TypeVar, cast

T = TypeVar("T")
Address = tuple[str, int]
TIMEOUT_S = 600  # a job may wait behind many
RECEIVE_BYTES = 1 << 18
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
GOOD = (200, 202)
LOST = 0  # in the place of a status: the connection ended without an answer
BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


@dataclass(frozen=True)
class Answer:
    """`latency_ms` counts from when the request was due."""

    status: int
    latency_ms: float
    body: bytes = b""


@dataclass(frozen=True)
class Load:
    """What a loop saw. `cpu_s` is the client's own, which shares the cores with the server; `connections` is how many
    were needed at a time."""

    latencies_ms: tuple[float, ...]
    statuses: dict[int, int]
    elapsed_s: float
    cpu_s: float = 0.0
    connections: int = 0
    bodies: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def answered(self) -> int:
        return sum(count for status, count in self.statuses.items() if status in GOOD)

    @property
    def per_s(self) -> float:
        return self.answered / self.elapsed_s

    @property
    def others(self) -> dict[str, int]:
        """Answers other than 200 and 202, by status."""
        return others(self.statuses)


def others(*statuses: Mapping[int, int]) -> dict[str, int]:
    """Answers of one or more loads other than 200 and 202, by status ("lost" without one), as JSON keeps them."""
    found = summed(statuses)
    return {str(status) if status != LOST else "lost": found[status] for status in sorted(found) if status not in GOOD}


def summed(counts: Iterable[Mapping[T, int]]) -> Counter[T]:
    total = Counter[T]()
    for one in counts:
        total.update(one)
    return total


def schedule_s(rate_per_s: float, count: int) -> list[float]:
    """When each request of an open loop is due, in seconds from its start."""
    return [number / rate_per_s for number in range(count)]


class Connection:
    """One keep-alive connection: one request at a time."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.request, self.due_s = b"", 0.0
        self.answered = 0
        self._unsent, self._received = memoryview(b""), bytearray()

    @property
    def events(self) -> int:
        """What to wait for."""
        return BOTH if self._unsent else selectors.EVENT_READ

    @property
    def may_be_sent_again(self) -> bool:
        """Whether the server may have closed it for idleness, just before it was sent something."""
        return self.answered > 0 and not self._received

    def begin(self, request: bytes, due_s: float) -> None:
        self.request, self.due_s = request, due_s
        self._unsent = memoryview(request)
        self._received.clear()
        self.push()

    def push(self) -> None:
        """Send what the kernel takes now."""
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent):]

    def receive(self) -> Answer | None:
        """The answer, if it is complete now.

        Raises:
            ConnectionError: it ended.
        """
        try:
            received = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:  # the kernel may say readable and think better of it
            return None
        if not received:
            raise ConnectionError("closed by the server")
        self._received += received
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head)
        if not separator or length is None or len(body) < int(length[1]):
            return None
        self.answered += 1
        return Answer(int(head[9:12]), _since_ms(self.due_s), bytes(body))


class Client:
    """Connections of one process; the one that was idle for longest is used next, a new one where none is idle."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._lost: list[Answer] = []
        self.busy = 0
        self.most = 0

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            connection.socket.close()
        self._selector.close()

    def send(self, request: bytes, due_s: float) -> None:
        connection = self._idle.popleft() if self._idle else self._connect()
        self.busy += 1
        self._begin(connection, request, due_s)

    def answers(self, timeout_s: float) -> Iterator[Answer]:
        """Those that come until the first of them is there, or the time is over."""
        for key, events in self._selector.select(0 if self._lost else timeout_s):
            connection = cast(Connection, key.data)
            answer = self._progress(connection, events) if connection in self._open else None
            if answer is not None:
                yield answer
        yield from self._lost
        self._lost.clear()

    def _progress(self, connection: Connection, events: int) -> Answer | None:
        try:
            if events & selectors.EVENT_WRITE:
                connection.push()
            answer = connection.receive() if events & selectors.EVENT_READ else None
        except OSError:
            self._end(connection)
            return None
        if answer is not None:
            self.busy -= 1
            self._idle.append(connection)
        self._selector.modify(connection.socket, connection.events, connection)
        return answer

    def _connect(self) -> Connection:
        connection = Connection(self._address)
        self._open.add(connection)
        self.most = max(self.most, len(self._open))
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        return connection

    def _begin(self, connection: Connection, request: bytes, due_s: float) -> None:
        try:
            connection.begin(request, due_s)
            self._selector.modify(connection.socket, connection.events, connection)
        except OSError:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        """It was closed: an idle one is forgotten, a request that may have crossed the closing is sent again."""
        self._selector.unregister(connection.socket)
        self._open.discard(connection)
        connection.socket.close()
        if connection in self._idle:
            self._idle.remove(connection)
        elif connection.may_be_sent_again:
            self._begin(self._connect(), connection.request, connection.due_s)
        else:
            self.busy -= 1
            self._lost.append(Answer(LOST, _since_ms(connection.due_s)))


def closed_loop(address: Address, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Keep `connections` new connections busy for `seconds`; the last answers are waited for and counted."""
    turns, seen = itertools.cycle(requests), _Seen()
    with Client(address) as client:
        for _ in range(connections):
            client.send(next(turns), time.perf_counter())
        while client.busy:
            for answer in client.answers(TIMEOUT_S):
                seen.note(answer)
                if time.perf_counter() - seen.start_s < seconds:
                    client.send(next(turns), time.perf_counter())
        return seen.load(client)


def open_loop(address: Address, requests: Sequence[bytes], rate_per_s: float, count: int) -> Load:
    """Send `count` requests at a fixed rate, on as many connections as are needed for those under way."""
    turns, due_s = itertools.cycle(requests), deque(schedule_s(rate_per_s, count))
    with Client(address) as client:
        seen = _Seen()
        while due_s or client.busy:
            while due_s and time.perf_counter() >= seen.start_s + due_s[0]:
                client.send(next(turns), seen.start_s + due_s.popleft())
            wait_s = max(0.0, seen.start_s + due_s[0] - time.perf_counter()) if due_s else TIMEOUT_S
            for answer in client.answers(wait_s):
                seen.note(answer)
        return seen.load(client)


def each_once(address: Address, requests: Sequence[bytes], connections: int) -> Load:
    """Send each request once, `connections` at a time."""
    todo, seen = deque(requests), _Seen()
    with Client(address) as client:
        while todo or client.busy:
            while todo and client.busy < connections:
                client.send(todo.popleft(), time.perf_counter())
            for answer in client.answers(TIMEOUT_S):
                seen.note(answer)
        return seen.load(client)


@contextlib.contextmanager
def client_process() -> Iterator[Pool]:
    """A process for the loops, `process.apply(closed_loop, …)`: the benchmark's own memory and threads slow nothing."""
    with get_context("spawn").Pool(1, gc.disable) as process:
        yield process


def ask(address: Address, path: str, body: bytes | None = None, method: str = "GET",
        content_type: str = "image/jpeg") -> tuple[int, Any]:
    """Status and document of a single call, for what is not timed."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=TIMEOUT_S)) as connection:
        connection.request(method, path, body, {"Content-Type": content_type} if body else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


class _Seen:
    """The answers of a loop so far."""

    def __init__(self) -> None:
        self.start_s, self._start_cpu_s = time.perf_counter(), time.process_time()
        self._answers: list[Answer] = []

    def note(self, answer: Answer) -> None:
        self._answers.append(answer)

    def load(self, client: Client) -> Load:
        good = [answer for answer in self._answers if answer.status in GOOD]
        return Load(tuple(answer.latency_ms for answer in good),
                    dict(Counter(answer.status for answer in self._answers)), time.perf_counter() - self.start_s,
                    time.process_time() - self._start_cpu_s, client.most, tuple(answer.body for answer in good))


def _since_ms(moment_s: float) -> float:
    return (time.perf_counter() - moment_s) * 1000
