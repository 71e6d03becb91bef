"""gevent without monkey patching: `threading` here is native, as it is inside a lane's call."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, cast
from unittest.mock import Mock

import pytest

from api import predictions
from api.inline import NEVER, InlineRun, has_hung_up
from api.lanes import Lane
from inference.errors import Overdue, Stopped
from inference.stop import Stop
from jobs.errors import JobNotFound, NotInTime

PATIENCE_S = 20


@pytest.fixture
def lane() -> Lane:
    lane = Lane(1)
    lane.start()
    return lane


def until_stopped(stop: Stop) -> Callable[[], str]:
    """A call that runs until it is to stop, as a model does."""
    def call() -> str:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            stop.check()
            time.sleep(0.001)
        return "never stopped"
    return call


def begun(lane: Lane, **given: Any) -> InlineRun:
    stop = Stop()
    options: dict[str, Any] = {"patient_until": NEVER} | given
    return InlineRun(cast(Any, lane.begin(until_stopped(stop))), stop, **options)


def test_what_ends_in_time_has_its_result(lane: Lane) -> None:
    run = InlineRun(cast(Any, lane.begin(lambda: 42)), Stop(), NEVER)
    assert run.attend()
    assert run.turn.result()[0] == 42


def test_what_outlasts_its_patience_goes_on(lane: Lane) -> None:
    run = begun(lane, patient_until=time.perf_counter() + 0.05)
    assert not run.attend()
    run.stop.end(Stopped("the test is over"))
    assert run.within(PATIENCE_S).attend()


def test_at_the_deadline_it_is_stopped_and_the_slot_comes_back(lane: Lane) -> None:
    with pytest.raises(Overdue):
        begun(lane, deadline=time.perf_counter() + 0.05).attend()
    assert lane.run(lambda: "next")[0] == "next"


def test_what_waits_in_line_at_its_deadline_is_never_begun(lane: Lane) -> None:
    running, ran = begun(lane), threading.Event()
    assert not running.within(0.01).attend()
    late = InlineRun(cast(Any, lane.begin(ran.set)), Stop(), NEVER, time.perf_counter() + 0.05)
    with pytest.raises(Overdue):
        late.attend()
    running.stop.end(Stopped("the test is over"))
    assert lane.run(lambda: "next")[0] == "next"
    assert not ran.is_set()


def test_who_hangs_up_stops_his_run(lane: Lane) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(Stopped):
        begun(lane, connection=ours).attend()
    assert lane.run(lambda: "next")[0] == "next"


def test_who_sends_his_next_request_already_has_not_hung_up() -> None:
    ours, theirs = socket.socketpair()
    assert not has_hung_up(ours)
    theirs.send(b"GET /")
    assert not has_hung_up(ours)
    assert ours.recv(10) == b"GET /"
    theirs.close()
    assert has_hung_up(ours)


def test_what_could_not_begin_in_time_as_a_job_leaves_no_slot_behind(lane: Lane,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotInTime("too late")

    monkeypatch.setattr(predictions, "submit", refuse)
    running, waiting = begun(lane), begun(lane)
    assert not running.within(0.01).attend()
    with pytest.raises(NotInTime):
        predictions.become_job(cast(Any, None), cast(Any, None), cast(Any, None), waiting)
    running.stop.end(Stopped("the test is over"))
    assert running.within(PATIENCE_S).attend()
    assert lane.run(lambda: "next")[0] == "next"


def test_what_runs_and_cannot_become_a_job_for_another_reason_is_ended(lane: Lane,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise JobNotFound("it is gone")

    monkeypatch.setattr(predictions, "_job", fail)
    running = begun(lane)
    assert not running.within(0.01).attend()
    with pytest.raises(JobNotFound):
        predictions.become_job(cast(Any, Mock()), cast(Any, Mock()), cast(Any, None), running)
    assert running.within(PATIENCE_S).attend()
    with pytest.raises(Stopped, match="refused"):
        running.turn.result()
