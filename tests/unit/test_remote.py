import pickle
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from inference import remote
from inference.engine import Engine
from inference.errors import InferenceFailed, Overdue
from inference.model import Prediction
from inference.remote import Lost, Question, Unavailable
from inference.stop import Stop
from tests.unit.pictures import photo

QUESTION = Question("leaf", "mark", {"top_k": 1})
PATIENCE_S = 10.0
Serve = Callable[[Callable[[socket.socket], None]], Path]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Answers one connection in a thread."""
    path, listener = tmp_path / "s", socket.socket(socket.AF_UNIX)

    def start(answer: Callable[[socket.socket], None]) -> Path:
        def run() -> None:
            with listener, listener.accept()[0] as connection:
                answer(connection)

        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=run, daemon=True).start()
        return path

    return start


def ask(path: Path, image: bytes = b"image", stop: Stop | None = None) -> bytes:
    return remote.ask(path, QUESTION, image, stop or Stop())


def test_question_and_image_arrive_and_the_prediction_comes_back(serve: Serve, engine: Engine) -> None:
    model, taken = engine.model("leaf"), []
    prediction = model.predict(engine.open(photo()), model.parameters({}))

    def answer(connection: socket.socket) -> None:
        taken.append(remote.take(connection))
        remote.answer(connection, remote.packed(prediction))

    image = bytes(range(256)) * 80_000  # more than any socket's buffer
    assert remote.read_answer(ask(serve(answer), image)) == prediction
    assert taken == [(QUESTION, image)]


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        ask(tmp_path / "s")


@pytest.mark.parametrize("end", [
    remote.take,
    lambda connection: connection.sendall(remote.TAKEN + remote.LENGTH.pack(10) + b"half"),
], ids=["before it answers", "in the middle of its answer"])
def test_an_answerer_that_goes_is_told_from_none(serve: Serve, end: Callable[[socket.socket], None]) -> None:
    with pytest.raises(Lost):
        ask(serve(end))


@pytest.mark.parametrize("image", [b"image", bytes(10_000_000)], ids=["all is sent", "something is left to send"])
def test_one_that_goes_before_it_has_taken_the_question_is_as_none(serve: Serve, image: bytes) -> None:
    with pytest.raises(Unavailable):
        ask(serve(lambda connection: None), image)


def test_a_question_that_is_called_off_ends_at_once_and_the_answerer_sees_it(serve: Serve) -> None:
    stop, seen = Stop(), threading.Event()

    def answer(connection: socket.socket) -> None:
        remote.take(connection)
        stop.end(Overdue("too late"))
        if connection.recv(1) == b"":
            seen.set()

    with pytest.raises(Overdue, match="too late"):
        ask(serve(answer), stop=stop)
    assert seen.wait(PATIENCE_S)


def test_what_was_raised_there_is_raised_here() -> None:
    with pytest.raises(InferenceFailed, match="no good"):
        remote.read_answer(remote.packed(InferenceFailed("no good")))


def test_a_model_that_is_not_served_there_is_no_failure() -> None:
    no_prediction: Prediction | None = None
    with pytest.raises(Unavailable):
        remote.read_answer(pickle.dumps(no_prediction))
