"""Load from one light process: keep-alive connections over raw sockets, each sending as soon as it is answered."""

import itertools
import re
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from bench.common import MODEL

TIMEOUT_S = 30
RECEIVE_BYTES = 1 << 16
BOUNDARY = "------------------------d74496d66958873e"  # of curl's form
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What the client saw. `cpu_s` is its own, which shares the cores with the server."""

    requests: int
    elapsed_s: float
    cpu_s: float


class Connection:
    """One client: sends its requests in turn, one at a time."""

    def __init__(self, address: tuple[str, int], requests: Sequence[bytes], first: int) -> None:
        self.socket = socket.create_connection(address, TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = itertools.islice(itertools.cycle(requests), first, None)
        self._answer = bytearray()

    def send(self) -> None:
        self._answer.clear()
        self.socket.sendall(next(self._requests))

    def receive(self) -> bool:
        """Whether the answer is complete now.

        Raises:
            RuntimeError: an answer other than 200, or none.
        """
        received = self.socket.recv(RECEIVE_BYTES)
        self._answer += received
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        if not received or (separator and not head.startswith(b"HTTP/1.1 200 ")):
            raise RuntimeError(f"not answered with 200: {bytes(self._answer[:500])!r}")
        length = CONTENT_LENGTH.search(head)
        return length is not None and bool(separator) and len(body) >= int(length[1])


def run(address: tuple[str, int], requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Keep `connections` new connections busy for `seconds`; the last answers are waited for and counted."""
    clients = [Connection(address, requests, first) for first in range(connections)]
    start, start_cpu = time.perf_counter(), time.process_time()
    answered = _exchange(clients, start + seconds)
    load = Load(answered, time.perf_counter() - start, time.process_time() - start_cpu)
    for client in clients:
        client.socket.close()
    return load


def _exchange(clients: Sequence[Connection], until: float) -> int:
    answered, busy = 0, len(clients)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send()
        while busy:
            for client in _readable(selector):
                if client.receive():
                    answered += 1
                    busy -= not _send_again(client, until)
    return answered


def _readable(selector: selectors.BaseSelector) -> list[Connection]:
    ready = selector.select(TIMEOUT_S)
    if not ready:
        raise RuntimeError(f"no answer within {TIMEOUT_S} s")
    return [cast(Connection, key.data) for key, _ in ready]


def _send_again(client: Connection, until: float) -> bool:
    if time.perf_counter() >= until:
        return False
    client.send()
    return True


def multipart(picture: bytes) -> bytes:
    """`curl -F model_type=strawberry -F img_file=@photo.jpg`, as curl writes it."""
    body = b"".join((
        _part_head('name="model_type"'), MODEL.encode(), b"\r\n",
        _part_head('name="img_file"; filename="photo.jpg"', "Content-Type: image/jpeg\r\n"), picture, b"\r\n",
        f"--{BOUNDARY}--\r\n".encode()))
    return _request("/predict", f"multipart/form-data; boundary={BOUNDARY}", body)


def raw(picture: bytes) -> bytes:
    """`curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'`, as curl writes it."""
    return _request(f"/predict?model_type={MODEL}", "image/jpeg", picture)


def _part_head(disposition: str, more: str = "") -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n".encode()


def _request(path: str, content_type: str, body: bytes) -> bytes:
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n"
            f"Content-Length: {len(body)}\r\nContent-Type: {content_type}\r\n\r\n").encode() + body
