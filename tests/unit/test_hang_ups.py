"""An asker that closes its connection calls its prediction off."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from inference.call_off import CallOff
from inference.errors import CalledOff
from inference.session import Session
from predictors import hang_ups as module
from predictors.hang_ups import HangUps, has_closed
from tests.onnx_models import sleeper
from tests.unit.forks import forked

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    asker, predictor = socket.socketpair()
    with asker, predictor:
        yield asker, predictor


@pytest.fixture(scope="module")
def hang_ups() -> HangUps:
    return HangUps()


def until_called_off(call_off: CallOff) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        call_off.check()
    pytest.fail("it was not called off")


@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_a_closed_connection_calls_off(hang_ups: HangUps, pair: Pair, how: str) -> None:
    asker, predictor = pair
    with pytest.raises(CalledOff), hang_ups.watched(predictor) as call_off:
        call_off.check()
        asker.close() if how == "close" else asker.shutdown(socket.SHUT_RDWR)
        until_called_off(call_off)


def test_a_connection_that_was_closed_before_calls_off(hang_ups: HangUps, pair: Pair) -> None:
    asker, predictor = pair
    asker.close()
    with pytest.raises(CalledOff), hang_ups.watched(predictor) as call_off:
        until_called_off(call_off)


def test_an_asker_that_does_not_read_what_it_is_told_calls_off_too(hang_ups: HangUps, pair: Pair) -> None:
    asker, predictor = pair
    with pytest.raises(CalledOff), hang_ups.watched(predictor) as call_off:
        predictor.sendall(b"begun")
        asker.close()
        until_called_off(call_off)


def test_native_code_is_called_off(hang_ups: HangUps, pair: Pair, tmp_path: Path) -> None:
    asker, predictor = pair
    session = Session(sleeper(tmp_path / "model.onnx", 20))
    began = time.monotonic()
    closing = threading.Timer(0.1, asker.close)
    with pytest.raises(CalledOff), hang_ups.watched(predictor) as call_off:
        closing.start()
        session.run({"image": np.ones((1, 3, 32, 32), np.float32)}, call_off)
    closing.join(5)
    assert time.monotonic() - began < 10


def test_the_hang_up_of_one_does_not_call_off_the_next_with_its_number(hang_ups: HangUps) -> None:
    for _ in range(200):
        asker, predictor = socket.socketpair()
        number = predictor.fileno()
        with hang_ups.watched(predictor):
            asker.close()
        predictor.close()
        asker, predictor = socket.socketpair()
        with hang_ups.watched(predictor) as call_off:
            assert number in (asker.fileno(), predictor.fileno())
            os.sched_yield()
            call_off.check()
        asker.close()
        predictor.close()


def test_a_connection_that_both_sides_close_at_once_does_not_end_who_watches(pair: Pair,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    hang_ups, looking, is_closed = HangUps(), threading.Event(), threading.Event()

    def looks_late(connection: socket.socket) -> bool:
        looking.set()
        is_closed.wait(0.05)
        return has_closed(connection)

    monkeypatch.setattr(module, "has_closed", looks_late)
    asker, predictor = socket.socketpair()
    with hang_ups.watched(predictor):
        asker.close()
        assert looking.wait(10)
    predictor.close()
    is_closed.set()
    asker, predictor = pair
    with pytest.raises(CalledOff), hang_ups.watched(predictor) as call_off:
        asker.close()
        until_called_off(call_off)


def test_a_run_that_goes_on_costs_its_process(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    asker, predictor = pair
    monkeypatch.setattr(module, "ENDING_S", 0.05)

    def life(say_ready: Callable[[], None]) -> None:
        asker.close()
        with HangUps().watched(predictor):
            say_ready()
            threading.Event().wait(20)

    child = forked(life)
    asker.close()
    assert child.status() == 1


def test_a_run_that_ends_in_time_keeps_its_process(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    asker, predictor = pair
    monkeypatch.setattr(module, "ENDING_S", 5)

    def life(say_ready: Callable[[], None]) -> None:
        asker.close()
        with pytest.raises(CalledOff), HangUps().watched(predictor) as call_off:
            say_ready()
            until_called_off(call_off)

    child = forked(life)
    asker.close()
    assert child.status() == 0


def test_only_a_closed_connection_counts_as_closed(pair: Pair) -> None:
    asker, predictor = pair
    assert not has_closed(predictor)
    asker.sendall(b"x")
    assert not has_closed(predictor)
    assert predictor.recv(1) == b"x"
    asker.close()
    assert has_closed(predictor)
