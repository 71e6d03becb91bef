"""A prediction that another process of this machine makes: one connection to its unix socket, one prediction.

Question and answer are pickled: both ends are ours, and the socket lies in a folder of ours. Who closes early ends it:
the asker has called it off, or the answerer has died. A byte tells the asker that its question was taken: who is
lost before has not died of it.
"""

import io
import pickle
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.errors import InferenceError
from inference.model import Prediction
from inference.stop import Stop

LENGTH = struct.Struct("!Q")
TAKEN = b"t"
Answer = Prediction | InferenceError | None  # None: the model is not served there


class Unavailable(Exception):
    """Nobody there makes this prediction."""


class Lost(Exception):
    """The process that was to answer is gone."""


@dataclass(frozen=True)
class Question:
    """Which model, loaded from which files (`LoadedModel.mark`), with which parameters."""

    model_type: str
    mark: str
    parameters: Mapping[str, Any]


@dataclass
class _Connection:
    """Ends a wait for the answer as onnxruntime's RunOptions end a run."""

    socket: socket.socket

    @property
    def terminate(self) -> bool:
        return False

    @terminate.setter
    def terminate(self, value: bool) -> None:
        with suppress(OSError):  # the other side was faster
            self.socket.shutdown(socket.SHUT_RDWR)


def ask(path: Path, question: Question, image: bytes, stop: Stop) -> bytes:
    """The answer, for `read_answer`.

    Raises:
        Unavailable: nobody listens at `path`, or nobody took the question. Lost: who took it is gone. The reason with
        which `stop` was ended.
    """
    with closing(_connected(path)) as connection, _until(stop, connection):
        with _lost_as(Unavailable, stop):
            _send(connection, pickle.dumps(question))
            _send(connection, image)
            _receive_exactly(connection, len(TAKEN))
        with _lost_as(Lost, stop):
            return _receive(connection)


def read_answer(data: bytes) -> Prediction:
    """Raises Unavailable, and what the prediction raised there."""
    answer: Answer = pickle.loads(data)  # noqa: S301 - of a process of ours
    if answer is None:
        raise Unavailable("the model is not served there")
    if isinstance(answer, InferenceError):
        raise answer
    return answer


def take(connection: socket.socket) -> tuple[Question, bytes]:
    """A question and its image. Raises OSError: the asker is gone."""
    question, image = pickle.loads(_receive(connection)), _receive(connection)  # noqa: S301 - of a process of ours
    connection.sendall(TAKEN)
    return question, image


def packed(what: Answer) -> bytes:
    """For `answer`. Raises whatever pickle does where a result holds what it cannot take apart."""
    return pickle.dumps(what)


def answer(connection: socket.socket, data: bytes) -> None:
    """Raises OSError: the asker is gone."""
    _send(connection, data)


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise Unavailable(str(error)) from error
    return connection


@contextmanager
def _lost_as(told: type[Exception], stop: Stop) -> Iterator[None]:
    """A connection that ends inside raises `told`, or the reason with which `stop` was ended."""
    try:
        yield
    except OSError as error:
        stop.check()
        raise told(str(error)) from error


@contextmanager
def _until(stop: Stop, connection: socket.socket) -> Iterator[None]:
    end = _Connection(connection)
    stop.begin(end)
    try:
        yield
    finally:
        stop.finish(end)


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(LENGTH.pack(len(data)))
    connection.sendall(data)


def _receive(connection: socket.socket) -> bytes:
    [length] = LENGTH.unpack(_receive_exactly(connection, LENGTH.size))
    return _receive_exactly(connection, length)


def _receive_exactly(connection: socket.socket, length: int) -> bytes:
    whole = io.BytesIO(bytes(length))  # has room from the beginning, and gives its bytes away uncopied
    with whole.getbuffer() as left:
        while left:
            received = connection.recv_into(left)
            if not received:
                raise ConnectionResetError("the other side has closed")
            left = left[received:]
    return whole.getvalue()
