import hashlib
import logging
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator

import pytest

import worker.giving_way
from inference.runner import IN_CALLERS_THREAD, runner
from worker.giving_way import LOOK_S, OFFER, OFFER_S, GivingWay, Share, giving_way

PATIENCE_S = 5.0


@pytest.fixture
def offers_held_back() -> Iterator[None]:
    """Offers stay pending in threads that are begun now, where a test can look at them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {OFFER})
    yield
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {OFFER})


@pytest.fixture
def way(offers_held_back: None) -> GivingWay:
    return GivingWay()


def _compute() -> float:
    begin = time.thread_time()
    hashlib.pbkdf2_hmac("sha256", b"leaf", b"salt", 50_000)
    return time.thread_time() - begin


def _is_offered(way: GivingWay) -> bool:
    """Whether the thread that computes is told to offer its core."""
    return way._idle.submit(lambda: signal.sigtimedwait({OFFER}, 20 * OFFER_S) is not None).result()


def _until(wanted: bool, way: GivingWay) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while _is_offered(way) != wanted:
        assert time.monotonic() < deadline


def test_the_core_is_offered_while_it_works(way: GivingWay) -> None:
    with way.working():
        _until(True, way)


def test_nothing_is_offered_meanwhile(way: GivingWay) -> None:
    for _ in range(2):
        with way.working():
            _until(True, way)
        _until(False, way)


def test_it_computes_only_where_nobody_else_wants_the_core(way: GivingWay) -> None:
    with way.working():
        assert runner.get().run(lambda: os.sched_getscheduler(0)) == os.SCHED_IDLE
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert runner.get() is IN_CALLERS_THREAD


def test_who_gets_too_little_of_a_core_takes_its_share(way: GivingWay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it gets nothing: it waits. The next work begins as the last one ended."""
    monkeypatch.setattr(worker.giving_way, "LOOK_S", 0.01)
    with way.working():
        _until(False, way)
    with way.working():
        assert runner.get().run(lambda: os.sched_getscheduler(0)) == os.SCHED_OTHER


def test_short_works_are_judged_together() -> None:
    share = Share()
    assert share.after(0.1 * LOOK_S, 0.4 * LOOK_S) is None
    assert share.after(0.2 * LOOK_S, 0.4 * LOOK_S) is None
    assert share.after(0.1 * LOOK_S, 0.2 * LOOK_S) == pytest.approx(0.4)
    assert share.after(0.1 * LOOK_S, 0.2 * LOOK_S) is None


def test_what_it_computes_counts_as_its_processor_time(way: GivingWay) -> None:
    with way.working():
        before = runner.get().core_s()
        used = runner.get().run(_compute)
        assert runner.get().core_s() - before >= used > 0


def test_what_fails_inside_fails_for_its_caller(way: GivingWay) -> None:
    with way.working(), pytest.raises(ZeroDivisionError):
        runner.get().run(lambda: 1 // 0)


class Alarm(BaseException):
    """As the one of a job's time limit."""


def test_a_call_that_was_left_ends_before_the_next_work(way: GivingWay) -> None:
    let_go, ended = threading.Event(), []

    def left() -> None:
        signal.raise_signal(signal.SIGUSR1)
        let_go.wait(PATIENCE_S)
        ended.append(True)

    def alarm(*_: object) -> None:
        let_go.set()
        raise Alarm

    before = signal.signal(signal.SIGUSR1, alarm)
    try:
        with pytest.raises(Alarm), way.working():
            runner.get().run(left)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended == [True]


def test_what_runs_inside_does_not_notice() -> None:
    begin = time.monotonic()
    with giving_way().working():
        found = hashlib.pbkdf2_hmac("sha256", b"leaf", b"salt", 50_000)
        time.sleep(0.05)
    assert time.monotonic() - begin >= 0.05
    assert found == hashlib.pbkdf2_hmac("sha256", b"leaf", b"salt", 50_000)


def test_it_works_also_where_no_timer_is_left(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_SIGPENDING)
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, hard))
    try:
        with caplog.at_level(logging.WARNING), giving_way().working():
            assert runner.get() is IN_CALLERS_THREAD
    finally:
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (soft, hard))
    assert "by its priority only" in caplog.text
