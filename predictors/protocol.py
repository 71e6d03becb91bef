"""How asker and predictor talk: one connection to a unix socket, one question, then messages until the answer.

A message is the lengths of its two parts, a head in JSON, and a body of bytes. Whoever closes early ends it: the asker
has called the run off, or the predictor has died. The messages of a predictor, by the `kind` in their heads:

- `begun` (`predictor`): it works on the question from now on.
- `progress` (`done`, `total`): tiles of the image.
- `answer`: the end; the body is a result in JSON, a drawing, or plain numbers (`tensor`: their shape and datatype).
- `error` (`error`, `detail`): the end; the name of an error of `inference.errors`, and its text.
- `not-mine`: the end; this predictor does not hold the model that is asked for.
"""

import io
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

LENGTHS = struct.Struct("!IQ")
STEP_BYTES = 1 << 16
Route = Literal["quick", "long", "job"]
ROUTES: tuple[Route, ...] = ("quick", "long", "job")
# A model on a device is held by one process, which serves inline questions first.
DEVICE_ROUTES: dict[Route, str] = {"quick": "device-inline", "long": "device-inline", "job": "device-job"}


@dataclass(frozen=True)
class Message:
    """A head, and a body that may be empty."""

    head: Mapping[str, Any]
    body: bytes = b""


def packed(head: Mapping[str, Any], bodies: Sequence[bytes] = ()) -> list[bytes]:
    """A message as it is sent, piece by piece."""
    text = orjson.dumps(head)
    return [LENGTHS.pack(len(text), sum(map(len, bodies))) + text, *bodies]


class Inbox:
    """The messages that arrive on a connection. What arrived of a message is kept when the socket's timeout ends a
    call of `receive`, so that it can be called again."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._beginning = b""  # of the next message, and what came behind it
        self._head: Mapping[str, Any] | None = None
        self._body = io.BytesIO()
        self._missing = 0  # bytes at the body's end

    def receive(self) -> Message:
        """The next message.

        Raises:
            TimeoutError, BlockingIOError: it has not arrived as a whole. ConnectionError: the other side has closed.
        """
        if self._head is None:
            self._read_head()
        self._read_body()
        assert self._head is not None
        message, self._head = Message(self._head, self._body.getvalue()), None
        return message

    def _read_head(self) -> None:
        while len(self._beginning) < LENGTHS.size:
            self._beginning += self._received()
        head_bytes, body_bytes = LENGTHS.unpack_from(self._beginning)
        begin, end = LENGTHS.size, LENGTHS.size + head_bytes
        while len(self._beginning) < end:
            self._beginning += self._received()
        self._head = orjson.loads(self._beginning[begin:end])
        arrived = self._beginning[end:end + body_bytes]
        self._beginning, self._missing = self._beginning[end + body_bytes:], body_bytes - len(arrived)
        # It has room from the beginning, and gives its bytes away uncopied.
        self._body = io.BytesIO(bytes(body_bytes))
        self._body.write(arrived)

    def _read_body(self) -> None:
        if not self._missing:
            return
        with self._body.getbuffer() as whole:
            while self._missing:
                received = self._connection.recv_into(whole[len(whole) - self._missing:])
                if not received:
                    raise ConnectionResetError("the other side has closed")
                self._missing -= received

    def _received(self) -> bytes:
        data = self._connection.recv(STEP_BYTES)
        if not data:
            raise ConnectionResetError("the other side has closed")
        return data


def split(body: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The parts of a body that was put together of parts of these sizes."""
    if len(sizes) == 1:
        return [body]
    parts, begin = [], 0
    for size in sizes:
        parts.append(body[begin:begin + size])
        begin += size
    return parts
