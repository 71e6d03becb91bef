"""Asks a predictor: web processes and workers ask alike. Under gevent's patch every wait yields to the others."""

import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from inference import errors
from inference.errors import (
    CalledOff,
    InferenceError,
    InferenceFailed,
    Overdue,
    PoisonImage,
    PredictorsAway,
    SlowToDecode,
)
from predictors.answered import Drawing, Prediction, Tensor, drawing_of, prediction_of, samples_of, tensor_of
from predictors.catalogue import Catalogue
from predictors.deaths import DECODED_TOO_LONG, FROM_OUTSIDE, Deaths
from predictors.poison import PoisonImages
from predictors.protocol import DEVICE_ROUTES, Inbox, Message, Route, packed
from state_dir import StateDir

T = TypeVar("T")
MOST_BLAMED = 2  # crashes of predictors that make an image poison
MOST_LOST = 5  # predictors killed from outside while they worked on one image, which make it poison too
AWAY_S = 10.0  # without anybody who listens
SMALL_BYTES = 1 << 17  # a question that is sent in one piece
PIECE_BYTES = 1 << 18  # a predictor that reads as fast as this writes would let all of an image be sent in one call
# Between two pieces of a large image; under gevent a timer lets the event loop look at its sockets, which a pause of 0
# does not.
YIELD_S = 1e-6
PAUSE_S = 0.02  # before a question is asked again that nobody took
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """What is asked, wherever it is asked. `address` gives a socket's name and the head's part that names a model, as
    the catalogue stands in that moment; `poison_key` tells a model that an image may be poison to."""

    head: Mapping[str, Any]
    bodies: Sequence[bytes]
    address: Callable[[], tuple[str, Mapping[str, Any]]]
    poison_key: str


class Predictors:
    """The predictors of this machine. Holds no connection."""

    def __init__(self, state: StateDir, catalogue: Catalogue) -> None:
        self._state, self._catalogue = state, catalogue
        self.poison, self._deaths = PoisonImages(state.poison), Deaths(state.deaths)

    def predict(self, route: Route, model_type: str, parameters: Mapping[str, Any], image: bytes,
                deadline: float | None = None, tensor_type: str = "", request_id: str = "") -> "Run[Prediction]":
        """Ask for a prediction by the model that is served under this name when a predictor takes the question.

        Args:
            deadline: of time.monotonic(); later nobody wants the result.
            tensor_type: the media type of the `tensor` that is wanted instead of JSON.
            request_id: names the question in the predictors' log.

        Raises:
            ModelNotFound, ModelLoading.
        """
        def address() -> tuple[str, Mapping[str, Any]]:
            model = self._catalogue.model(model_type)
            named = {"name": model.spec.name, "version": model.spec.version, "fingerprint": model.fingerprint}
            return DEVICE_ROUTES[route] if model.on_device else route, named

        head = {"kind": "predict", "parameters": parameters, "sizes": [len(image)], "deadline": deadline,
                "sent_at": time.monotonic(), "tensor_type": tensor_type, "request_id": request_id}
        question = Question(head, [image], address, self._catalogue.model(model_type).fingerprint)
        return self._run(question, prediction_of, deadline)

    def draw(self, route: Route, image: bytes, result: bytes, media_type: str, style: Mapping[str, Any],
             deadline: float | None = None, request_id: str = "") -> "Run[Drawing]":
        """Ask for a result, in JSON, drawn on its image, or for the image that it holds: a file of this media type."""
        head = {"kind": "draw", "media_type": media_type, "style": style, "sizes": [len(image), len(result)],
                "deadline": deadline, "sent_at": time.monotonic(), "request_id": request_id}
        question = Question(head, [image, result], lambda: (route, {}), "drawing")
        return self._run(question, drawing_of, deadline)

    def tensor(self, result: bytes, media_type: str, deadline: float | None = None) -> "Run[Tensor]":
        """Ask for the one tensor that a result, in JSON, holds: a file of this media type."""
        head = {"kind": "tensor", "media_type": media_type, "sizes": [len(result)], "deadline": deadline,
                "sent_at": time.monotonic()}
        return self._run(Question(head, [result], lambda: ("long", {}), "tensor"), tensor_of, deadline)

    def poison_images(self) -> int:
        """How many images ended two predictors within the last hour."""
        return self.poison.count()

    def _run(self, question: Question, understood: Callable[[Message], T], deadline: float | None) -> "Run[T]":
        return Run(question, understood, deadline, self._state, self.poison, self._deaths)


class Run(Generic[T]):
    """One question under way, asked again where its predictor died or did not hold the model. Only one caller at a
    time may wait; the run may be called off by others meanwhile."""

    def __init__(self, question: Question, understood: Callable[[Message], T], deadline: float | None,
                 state: StateDir, poison: PoisonImages, deaths: Deaths) -> None:
        self._question, self._understood, self._deadline = question, understood, deadline
        self._state, self._poison, self._deaths = state, poison, deaths
        self._connection: socket.socket | None = None
        self._inbox: Inbox | None = None
        self._unsent: list[memoryview] = []
        self._predictor = ""  # the one that works on it
        self._blamed = self._lost = 0
        self._broke_off_at: float | None = None
        self._listened_at = time.monotonic()  # when anybody was last seen to listen
        self._is_called_off = False
        self._answer: Message | None = None
        self._error: InferenceError | None = None
        self.progress = (0, 0)  # tiles done, tiles in all
        if poison.has(question.poison_key, question.bodies[0]):
            self._end(PoisonImage("this image ended two predictors within the last hour; it is not tried again"))

    @property
    def begun(self) -> bool:
        """Whether a predictor works on it."""
        return bool(self._predictor)

    @property
    def _request_id(self) -> str:
        return self._question.head.get("request_id") or "-"

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether the run has ended, after at most `timeout_s`."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while self._answer is None and self._error is None:
            now = time.monotonic()
            if self._is_called_off:
                self._end(CalledOff("the run was called off"))
            elif self._deadline is not None and now >= self._deadline:
                self._end(Overdue("it did not end in time"))
            elif until is not None and now >= until:
                return False
            else:
                self._step(min(moment - now for moment in (until, self._deadline, now + AWAY_S) if moment is not None))
        return True

    def result(self) -> T:
        """What the predictor answered, once `wait` has said so.

        Raises:
            What the prediction raised; PoisonImage, PredictorsAway, Overdue, CalledOff.
        """
        if self._error is not None:
            raise self._error
        assert self._answer is not None, "wait() comes first"
        return self._understood(self._answer)

    def call_off(self) -> None:
        """End the computing, from any thread or greenlet: `wait` gives True, and `result` raises CalledOff."""
        self._is_called_off = True
        connection = self._connection
        if connection is not None:
            with suppress(OSError):  # the other side was faster
                connection.shutdown(socket.SHUT_RDWR)

    def _step(self, timeout_s: float) -> None:
        """Go on, for at most so long: connect and send, or receive one message."""
        try:
            if self._connection is None:
                self._connect()
            assert self._connection is not None
            self._connection.settimeout(timeout_s)
            if self._unsent:
                self._send(self._connection)
            else:
                self._receive()
        except (TimeoutError, BlockingIOError):
            return
        except OSError as error:
            self._lose(error)
        except InferenceError as error:  # the model is gone by now
            self._end(error)

    def _connect(self) -> None:
        """Raises OSError: nobody listens."""
        name, model = self._question.address()
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)  # where the line is full, this says so instead of waiting for ever
        try:
            connection.connect(str(self._state.socket(name)))
        except OSError as error:
            connection.close()
            raise ConnectionRefusedError(str(error)) from error
        self._connection, self._inbox = connection, Inbox(connection)
        self._unsent = [memoryview(piece) for piece in packed({**self._question.head, **model}, self._question.bodies)]
        if self._is_called_off:  # just now: nobody had a connection to shut down
            raise ConnectionAbortedError("called off")

    def _send(self, connection: socket.socket) -> None:
        """Some of what is left to send. A small question goes in one piece."""
        if len(self._unsent) > 1 and sum(map(len, self._unsent)) < SMALL_BYTES:
            self._unsent = [memoryview(b"".join(self._unsent))]
        sent = connection.send(self._unsent[0][:PIECE_BYTES])
        self._unsent[0] = self._unsent[0][sent:]
        if not self._unsent[0]:
            del self._unsent[0]
        if self._unsent:
            time.sleep(YIELD_S)

    def _receive(self) -> None:
        assert self._inbox is not None
        message = self._inbox.receive()
        _HEARD[message.head["kind"]](self, message)

    def _has_begun(self, message: Message) -> None:
        self._predictor = message.head["predictor"]
        if self._broke_off_at is not None:
            log.warning("predictor %s goes on with request %s after %.0f ms", self._predictor, self._request_id,
                        (time.monotonic() - self._broke_off_at) * 1000)
            self._broke_off_at = None

    def _has_progressed(self, message: Message) -> None:
        self.progress = message.head["done"], message.head["total"]

    def _is_answered(self, message: Message) -> None:
        self._answer = message
        self._close()

    def _is_refused(self, message: Message) -> None:
        error = getattr(errors, message.head["error"], InferenceFailed)(message.head["detail"])
        error.samples = samples_of(message)
        self._end(error)

    def _is_not_theirs(self, message: Message) -> None:
        """A new generation takes over in this moment: another predictor is asked, by what the catalogue says then."""
        self._close()
        time.sleep(PAUSE_S)

    def _lose(self, error: OSError) -> None:
        """Nobody listens, or the connection broke: ask again, unless it is this image's doing."""
        predictor = self._predictor
        if self._connection is not None:
            self._listened_at = time.monotonic()
        self._close()
        if self._is_called_off:
            return
        if predictor:
            self._blame(predictor)
        elif time.monotonic() - self._listened_at > AWAY_S:
            self._end(PredictorsAway(f"no predictor listens ({error}); try again in a few seconds"))
        else:
            time.sleep(PAUSE_S)

    def _blame(self, predictor: str) -> None:
        self._broke_off_at = time.monotonic()
        log.warning("predictor %s broke off while it worked on request %s", predictor, self._request_id)
        how = self._deaths.how(predictor)
        if how is None:
            return
        if how == DECODED_TOO_LONG:
            self._end(SlowToDecode("decoding the image takes longer than its route may be kept"))
            return
        from_outside = how == FROM_OUTSIDE
        self._lost, self._blamed = self._lost + from_outside, self._blamed + (not from_outside)
        if self._blamed >= MOST_BLAMED or self._lost >= MOST_LOST:
            self._poison.add(self._question.poison_key, self._question.bodies[0])
            self._end(PoisonImage(f"the image ended {self._blamed + self._lost} predictors, one after the other: "
                                  "predictors.log tells more"))

    def _close(self) -> None:
        connection, self._connection, self._inbox = self._connection, None, None
        self._unsent, self._predictor = [], ""
        if connection is not None:
            connection.close()

    def _end(self, error: InferenceError) -> None:
        self._error = error
        self._close()


_HEARD: Mapping[str, Callable[[Run, Message], None]] = {
    "begun": Run._has_begun, "progress": Run._has_progressed, "answer": Run._is_answered, "error": Run._is_refused,
    "not-mine": Run._is_not_theirs}
