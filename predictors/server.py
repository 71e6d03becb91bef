"""A predictor: accepts a question, works on it, answers, and accepts the next."""

import logging
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from inference.call_off import CallOff
from inference.cost import Amounts, Work
from inference.drawing.files import Kind, encode, extra_bytes
from inference.drawing.fonts import Fonts
from inference.drawing.painters import paint, plan_of
from inference.drawing.plan import drawn_size
from inference.drawing.style import Style
from inference.errors import InferenceError, InferenceFailed, Overdue, SlowToDecode, UnsupportedImage
from inference.image import OpenedImage, decode, open_image
from inference.image_info import decoded_bytes
from inference.model import LoadedModel
from inference.prediction import Check, DecodeLimit, RunAll, predict
from inference.tensor_bytes import plain_tensor
from inference.workload import drawing as drawing_work
from inference.workload import workload
from predictors import priority
from predictors.generation import Key
from predictors.hang_ups import HangUps, has_closed
from predictors.library_output import LibraryOutput
from predictors.protocol import Inbox, Message, packed, split
from predictors.reservations import DecodedBytes

# An asker that stops in the middle of a question, or does not take its answer, costs the predictor no longer.
STUCK_S = 10
PROGRESS_S = 0.1  # between two messages about tiles
log = logging.getLogger(__name__)


@dataclass
class Predictor:
    """One process of a group. It ends at SIGTERM, after an answer that it is about.

    `listeners` are served in their order. `name` is told to askers, who look by it how a predictor ended. `run_all`
    chooses the threads in which batches of tiles are computed, `run` the thread of all the rest.
    """

    name: str
    listeners: Sequence[socket.socket]
    models: Mapping[Key, LoadedModel]
    max_pixels: int
    decoded: DecodedBytes
    run_all: RunAll
    run: Callable[[Callable[[], Any]], Any] = priority.at_once
    decode_limit: DecodeLimit = nullcontext
    fonts: Fonts = field(default_factory=Fonts)
    output: LibraryOutput = field(default_factory=LibraryOutput)
    hang_ups: HangUps = field(default_factory=HangUps)
    tell_busy: Callable[[bool], None] = lambda is_busy: None
    _is_busy: bool = False
    _is_to_end: bool = False

    def serve(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        for listener in self.listeners if len(self.listeners) > 1 else ():
            listener.setblocking(False)  # another generation's process may be faster than this one between two calls
        while not self._is_to_end:
            connection = self._accepted()
            self._set_busy(True)
            with connection:
                self._serve(connection)
            self._set_busy(False)

    def _set_busy(self, is_busy: bool) -> None:
        self._is_busy = is_busy
        self.tell_busy(is_busy)

    def _accepted(self) -> socket.socket:
        """The next connection; with several sockets the first one that has any goes first."""
        if len(self.listeners) == 1:
            return self.listeners[0].accept()[0]
        while True:
            first, *_ = select.select(self.listeners, [], [])[0]
            with suppress(BlockingIOError):  # another generation's process was faster
                return first.accept()[0]

    def _end(self, *_: object) -> None:
        self._is_to_end = True
        if not self._is_busy:
            raise SystemExit(0)

    def _serve(self, connection: socket.socket) -> None:
        patience = struct.pack("ll", STUCK_S, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, option, patience)
        try:
            question = Inbox(connection).receive()
            if has_closed(connection):
                return
            if _is_overdue(question.head):
                _tell(connection, _refusal(Overdue("it had not begun when its time was over")))
            elif self._is_mine(question.head):
                _tell(connection, {"kind": "begun", "predictor": self.name})
                pieces = self._answer(connection, question)
                self.output.log_for(f"request {question.head.get('request_id') or '-'}")
                for piece in pieces:
                    connection.sendall(piece)
            else:
                _tell(connection, {"kind": "not-mine"})
        except OSError as error:
            log.debug("the asker is gone: %s", error)

    def _is_mine(self, asked: Mapping[str, Any]) -> bool:
        """Only a predictor that holds the model can predict; any can draw, or write a result in another form."""
        return asked["kind"] != "predict" or _key(asked) in self.models

    def _answer(self, connection: socket.socket, question: Message) -> list[bytes]:
        try:
            with self.hang_ups.watched(connection) as call_off:
                return self._work(connection, question, call_off)
        except InferenceError as error:
            return packed(_refusal(error))
        except MemoryError:
            return packed(_refusal(InferenceFailed("there is not enough memory for this image: try a smaller one")))
        except Exception as error:
            log.exception("a question of the kind %r brought an unexpected error", question.head["kind"])
            told = InferenceFailed(f"unexpected {type(error).__name__}; predictors.log has it")
            return packed(_refusal(told))

    def _work(self, connection: socket.socket, question: Message, call_off: CallOff) -> list[bytes]:
        parts = split(question.body, question.head["sizes"])
        if question.head["kind"] == "draw":
            return self._drawing(question.head, parts[0], parts[1], call_off)
        if question.head["kind"] == "tensor":
            return self.run(lambda: _tensor(orjson.loads(parts[0]), question.head["media_type"], {"kind": "answer"}))
        return self._prediction(question.head, parts[0], _Progress(connection), call_off)

    def _prediction(self, asked: Mapping[str, Any], data: bytes, progress: "_Progress",
                    call_off: CallOff) -> list[bytes]:
        queue_ms = (time.monotonic() - asked["sent_at"]) * 1000
        model = self.models[_key(asked)]
        parameters, image = model.parameters(asked["parameters"]), open_image(data, self.max_pixels)
        work = workload(model.info, image.info, parameters)
        room_bytes = decoded_bytes(image.info, model.info.decoded_size(image.info.size, parameters))
        with self._room(room_bytes, call_off), _told_what_it_took(work.decoding):
            found = self.run(lambda: predict(model, image, parameters, call_off, progress, self.run_all,
                                             self.decode_limit))
        head = {"kind": "answer", "model_version": model.spec.version, "image": found.image.to_dict(),
                "timings_ms": found.timings_ms, "queue_ms": queue_ms, "samples": work.samples(found.core_ms)}
        if asked.get("tensor_type"):
            return _tensor(found.result, asked["tensor_type"], head)
        return packed(head, [as_json(found.result)])

    def _drawing(self, asked: Mapping[str, Any], data: bytes, result: bytes, call_off: CallOff) -> list[bytes]:
        image, told, style = open_image(data, self.max_pixels), orjson.loads(result), Style(**asked["style"])
        work, began = drawing_work(image.info, asked["media_type"]), time.process_time()
        size = drawn_size(image.info.size, told, style, self.max_pixels)
        with self._room(decoded_bytes(image.info, None) + extra_bytes(image.info.size, size), call_off):
            drawn = self.run(lambda: self._drawn(image, told, style, asked["media_type"], call_off.check))
        return packed({"kind": "answer", "samples": [_sample(work, began)]}, [drawn])

    def _drawn(self, image: OpenedImage, result: Mapping[str, Any], style: Style, kind: Kind, check: Check) -> bytes:
        plan = plan_of(image.info.size, result, style, self.fonts)
        with self.decode_limit(check) as limited:
            pixels = decode(image, None, limited, plan.canvas())
        return encode(paint(plan, pixels.image, check), kind, check)

    def _room(self, size_bytes: int, call_off: CallOff) -> AbstractContextManager[None]:
        return self.decoded.reserved(size_bytes, call_off.check) if size_bytes else nullcontext()


@dataclass
class _Progress:
    """Tells the asker of finished tiles. One that is gone is noticed elsewhere."""

    connection: socket.socket
    _told_at: float = 0.0

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._told_at >= PROGRESS_S:
            self._told_at = time.monotonic()
            _tell(self.connection, {"kind": "progress", "done": done, "total": total})


def as_json(result: dict) -> bytes:
    """A result as the contract writes it: UTF-8, numbers that are none as null.

    Raises:
        InferenceFailed: it holds what JSON has no form for.
    """
    try:
        return orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise InferenceFailed(f"the result cannot be written as JSON: {error}") from error


def _tensor(result: Mapping[str, Any], media_type: str, head: Mapping[str, Any]) -> list[bytes]:
    """The answer with this head whose body is the one tensor of a result."""
    tensor = plain_tensor(result, media_type)
    return packed({**head, "tensor": {"shape": tensor.shape, "datatype": tensor.datatype}}, tensor.pieces)


@contextmanager
def _told_what_it_took(decoding: Work) -> Iterator[None]:
    """An image that is refused while it is decoded has cost something, too."""
    began = time.process_time()
    try:
        yield
    except (UnsupportedImage, SlowToDecode) as error:
        error.samples = [_sample(decoding, began)]
        raise


def _sample(work: Work, began: float) -> tuple[str, Amounts, float]:
    return work.part, work.amounts, (time.process_time() - began) * 1000


def _is_overdue(asked: Mapping[str, Any]) -> bool:
    return asked["deadline"] is not None and time.monotonic() > asked["deadline"]


def _tell(connection: socket.socket, head: Mapping[str, Any]) -> None:
    connection.sendall(b"".join(packed(head)))


def _key(asked: Mapping[str, Any]) -> Key:
    return asked["name"], asked["version"], asked["fingerprint"]


def _refusal(error: InferenceError) -> dict[str, Any]:
    return {"kind": "error", "error": type(error).__name__, "detail": str(error), "samples": error.samples}
