import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from inference import remote
from inference.engine import Engine
from inference.errors import InferenceFailed, UnsupportedImage
from inference.remote import Lost, Question, Unavailable
from inference.stop import Stop
from tests.unit.conftest import runtime_of
from tests.unit.pictures import photo
from worker import lane as lane_module
from worker.lane import LanePool, LaneProcess

PATIENCE_S = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lane.sock"


@pytest.fixture
def pool(path: Path, engine: Engine, redis: Redis) -> Iterator[LanePool]:
    """Of one process, which is forked by `keep_running`."""
    pool = LanePool(path, 1, lambda _: runtime_of(engine, redis))
    yield pool
    pool.stop()
    pool.kill()
    until(pool.has_ended)


@pytest.fixture
def question(engine: Engine) -> Question:
    return Question("leaf", engine.model("leaf").mark, {"top_k": 1})


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def ask(path: Path, question: Question, image: bytes | None = None) -> bytes:
    """Waits until somebody listens."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return remote.ask(path, question, photo() if image is None else image, Stop())
        except Unavailable:
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.01)


def process_of(pool: LanePool) -> int:
    [process] = pool._processes
    assert process.pid is not None
    return process.pid


def test_it_predicts_what_the_engine_itself_would(pool: LanePool, path: Path, question: Question,
                                                  engine: Engine) -> None:
    pool.keep_running()
    model = engine.model("leaf")
    own = model.predict(engine.open(photo()), model.parameters({"top_k": 1}))
    for _ in range(2):
        assert remote.read_answer(ask(path, question)).result == own.result


def test_a_picture_that_cannot_be_read_is_told(pool: LanePool, path: Path, question: Question) -> None:
    pool.keep_running()
    with pytest.raises(UnsupportedImage):
        remote.read_answer(ask(path, question, b"no picture"))


def test_other_files_of_a_model_are_not_taken_for_those_asked_for(pool: LanePool, path: Path) -> None:
    pool.keep_running()
    with pytest.raises(Unavailable):
        remote.read_answer(ask(path, Question("leaf", "another mark", {})))


def test_what_is_unexpected_fails_the_call_only(pool: LanePool, path: Path, question: Question,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LaneProcess, "_predict", lambda *_: 1 // 0)
    pool.keep_running()
    for _ in range(2):
        with pytest.raises(InferenceFailed, match="unexpected ZeroDivisionError"):
            remote.read_answer(ask(path, question))


def test_a_result_that_cannot_be_sent_fails_the_call_only(pool: LanePool, path: Path, question: Question,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LaneProcess, "_predict", lambda *_: lambda: "pickle cannot take a function apart")
    pool.keep_running()
    for _ in range(2):
        with pytest.raises(InferenceFailed, match="unexpected"):
            remote.read_answer(ask(path, question))


def test_one_that_dies_is_replaced(pool: LanePool, path: Path, question: Question,
                                   caplog: pytest.LogCaptureFixture) -> None:
    pool.keep_running()
    ask(path, question)
    os.kill(process_of(pool), signal.SIGKILL)

    def is_noticed() -> bool:
        pool.keep_running()
        return "died with exit code -9" in caplog.text

    with caplog.at_level(logging.ERROR):
        until(is_noticed)
    assert remote.read_answer(ask(path, question)).model_type == "leaf"


def test_a_stop_lets_it_answer_first(pool: LanePool, path: Path, question: Question,
                                     monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun, predict = tmp_path / "begun", LaneProcess._predict

    def slowly(*given: object) -> object:
        begun.touch()
        until((tmp_path / "stopped").exists)
        return predict(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(LaneProcess, "_predict", slowly)
    pool.keep_running()
    answers: list[bytes] = []
    asker = threading.Thread(target=lambda: answers.append(ask(path, question)))
    asker.start()
    until(begun.exists)
    pool.stop()
    (tmp_path / "stopped").touch()
    asker.join(PATIENCE_S)
    assert remote.read_answer(answers[0]).model_type == "leaf"
    until(pool.has_ended)


def test_an_idle_one_ends_at_a_stop_and_asks_are_refused(pool: LanePool, path: Path, question: Question) -> None:
    pool.keep_running()
    ask(path, question)
    pool.stop()
    until(pool.has_ended)
    with pytest.raises(Unavailable):
        remote.ask(path, question, photo(), Stop())


def test_a_prediction_that_does_not_end_when_called_off_costs_its_process(
        pool: LanePool, path: Path, question: Question, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def endless(*_: object) -> None:
        begun.touch()
        while True:
            """As a loop in hooks.py would."""

    monkeypatch.setattr(LaneProcess, "_predict", endless)
    monkeypatch.setattr(lane_module, "ENDING_S", 0.1)
    pool.keep_running()
    stop = Stop()

    def call_off() -> None:
        until(begun.exists)
        stop.end(InferenceFailed("called off"))

    until(path.exists)
    threading.Thread(target=call_off).start()
    with pytest.raises(InferenceFailed, match="called off"):
        until(lambda: _asked(path, question, stop))
    until(pool.has_ended)


def _asked(path: Path, question: Question, stop: Stop) -> bool:
    """Until somebody listens."""
    try:
        remote.ask(path, question, photo(), stop)
    except Unavailable:
        return False
    except Lost:
        pytest.fail("it died before it was called off")
    return True
