"""A fake run in place of a predictor's; `threading` is native here, as nothing is patched."""

import socket
import threading
import time
from typing import Any

import pytest

from api.inline import NEVER, Attended, is_connected
from inference.errors import CalledOff, InferenceFailed, Overdue
from tests.unit.fake_predictors import FakeRun

PATIENCE_S = 20


def attended(run: FakeRun, **given: Any) -> Attended:
    options: dict[str, Any] = {"is_wanted": lambda: True, "deadline": NEVER} | given
    return Attended(run, **options)  # type: ignore[arg-type]


def test_what_ends_in_time_has_its_result() -> None:
    run: FakeRun[int] = FakeRun()
    threading.Timer(0.02, run.end, (42,)).start()
    assert attended(run).attend()
    assert attended(run).result() == 42


def test_what_a_run_raised_is_raised() -> None:
    run: FakeRun[int] = FakeRun()
    run.end(InferenceFailed("on purpose"))
    with pytest.raises(InferenceFailed, match="on purpose"):
        attended(run).result()


def test_what_outlasts_its_patience_goes_on() -> None:
    run: FakeRun[int] = FakeRun()
    impatient = attended(run).within(0.02)
    assert not impatient.attend()
    assert not run.called_off
    threading.Timer(0.02, run.end, (42,)).start()
    assert impatient.result() == 42


def test_at_the_deadline_a_run_is_called_off() -> None:
    run: FakeRun[int] = FakeRun()
    with pytest.raises(Overdue):
        attended(run, deadline=time.monotonic() + 0.02).attend()
    assert run.called_off


def test_a_run_that_nobody_wants_any_more_is_called_off() -> None:
    run: FakeRun[int] = FakeRun()
    ours, theirs = socket.socketpair()
    threading.Timer(0.02, theirs.close).start()
    with ours, pytest.raises(CalledOff):
        attended(run, is_wanted=lambda: is_connected(ours)).attend()
    assert run.called_off


def test_who_sends_his_next_request_already_has_not_hung_up() -> None:
    ours, theirs = socket.socketpair()
    assert is_connected(ours)
    theirs.send(b"GET /")
    assert is_connected(ours)
    assert ours.recv(10) == b"GET /"
    theirs.close()
    assert not is_connected(ours)
