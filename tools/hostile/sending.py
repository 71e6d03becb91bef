"""Send a raw request, and see what comes back."""

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.client import Address, Shared
from tools.hostile.inputs import Input

PATIENCE_S = 40.0  # more than the limit, to see by how much it is exceeded
IDLE_S = 2.0  # a request without an end is given up by its sender after this
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
CLOSED, SILENT = "closed without an answer", "no answer"


@dataclass(frozen=True)
class Reply:
    """`status` is a number as text, or says that there was none; `problem` is the last part of a problem's type."""

    kind: str
    name: str
    status: str
    seconds: float
    problem: str = ""


def ask_all(address: Address, inputs: Iterable[Input], at_a_time: int) -> list[Reply]:
    """In no order."""
    shared = Shared(inputs)
    with ThreadPoolExecutor(at_a_time) as threads:
        asked = [threads.submit(lambda: [ask(address, hostile) for hostile in shared]) for _ in range(at_a_time)]
    return [reply for one in asked for reply in one.result()]


def ask(address: Address, hostile: Input) -> Reply:
    begin_s = time.perf_counter()
    received = _exchanged(address, hostile.request)
    seconds = time.perf_counter() - begin_s
    if (found := STATUS.match(received)) is None:
        return Reply(hostile.kind, hostile.name, SILENT if seconds > IDLE_S else CLOSED, seconds)
    return Reply(hostile.kind, hostile.name, found[1].decode(), seconds, _problem(received))


def _exchanged(address: Address, request: bytes) -> bytes:
    received = b""
    with contextlib.suppress(OSError), socket.create_connection(address, PATIENCE_S) as connection:
        with contextlib.suppress(ConnectionError):  # refused while it is sent: the answer is there already
            connection.sendall(request)
        if b"\r\n\r\n" not in request or _is_unended(request):
            connection.settimeout(IDLE_S)
        while not _is_whole(received) and (some := connection.recv(1 << 20)):
            received += some
    return received


def _is_unended(request: bytes) -> bool:
    """Whether the server waits for more of it, rightly."""
    head, _, body = request.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    return b"chunked" in head.lower() or length is None or len(body) < int(length[1])


def _is_whole(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    return bool(separator and length is not None and len(body) >= int(length[1]))


def _problem(received: bytes) -> str:
    head, _, body = received.partition(b"\r\n\r\n")
    if b"application/problem+json" not in head.lower():
        return ""
    problem, _ = json.JSONDecoder().raw_decode(body.decode())  # the answer to what stood behind may follow
    return str(problem["type"]).rpartition("/")[2]
