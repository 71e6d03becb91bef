"""Thousands of callers in a process of its own, each of whom waits for the end of a job: some hold a call until then,
some read the job's events."""

import contextlib
import json
import re
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe

from bench.client import RECEIVE_BYTES, Address

CONNECT_AT_ONCE = 50  # a server takes no more than its backlog of connections at once
PAUSE_S = 0.05  # between two groups of them
COMPLETED_AT = re.compile(rb'"completed_at":("[^"]+")')
WAIT, EVENTS = "wait", "events"
WAIT_S = 300
SETTLE_S = 5.0  # until the server has heard the last of them
TIMEOUT_S = 300


@dataclass
class Caller:
    """One of them. `late_s` is how long after the job's end he was told of it; None: never."""

    kind: str
    request: bytes
    received: bytearray = field(default_factory=bytearray)
    late_s: float | None = None


def request(address: Address, kind: str, job_id: str) -> bytes:
    """How a caller asks."""
    path = f"/jobs/{job_id}?wait={WAIT_S}" if kind == WAIT else f"/jobs/{job_id}/events"
    return f"GET {path} HTTP/1.1\r\nHost: {address[0]}\r\n\r\n".encode()


@contextlib.contextmanager
def calling(address: Address, asked: Sequence[tuple[str, bytes]]) -> Iterator[Callable[[], list[tuple[str, float]]]]:
    """Callers of these kinds with these requests, from when all of them wait. What is yielded waits until all were
    told, and returns their kinds and how late each was told in seconds; nan for who never was."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_call, args=(address, asked, theirs), daemon=True)
    process.start()
    ours.recv()
    try:
        yield ours.recv
    finally:
        process.terminate()
        process.join()


def _call(address: Address, asked: Sequence[tuple[str, bytes]], pipe: Pipe) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    selector, callers = selectors.DefaultSelector(), [Caller(kind, request) for kind, request in asked]
    for number, caller in enumerate(callers):
        connection = socket.create_connection(address)
        connection.sendall(caller.request)
        selector.register(connection, selectors.EVENT_READ, caller)
        if number % CONNECT_AT_ONCE == 0:
            time.sleep(PAUSE_S)
    time.sleep(SETTLE_S)
    pipe.send(True)
    _listen(selector)
    pipe.send([(caller.kind, float("nan") if caller.late_s is None else caller.late_s) for caller in callers])
    pipe.recv()


def _listen(selector: selectors.BaseSelector) -> None:
    """Until nobody waits any more. What was received is parsed at the end, so that nobody waits for it."""
    until, told = time.monotonic() + TIMEOUT_S, []
    while selector.get_map() and time.monotonic() < until:
        for key, _ in selector.select(1):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if _is_over(connection, key.data):
                told.append((key.data, time.time()))
                selector.unregister(connection)
    for caller, at_s in told:
        found = COMPLETED_AT.search(caller.received)
        caller.late_s = at_s - datetime.fromisoformat(json.loads(found[1])).timestamp() if found else None


def _is_over(connection: socket.socket, caller: Caller) -> bool:
    """Whether the caller was told of an end, or lost his connection."""
    received = connection.recv(RECEIVE_BYTES)
    caller.received += received
    return not received or (COMPLETED_AT.search(caller.received) is not None)
