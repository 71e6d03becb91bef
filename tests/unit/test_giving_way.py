import hashlib
import logging
import os
import resource
import signal
import time
from collections.abc import Iterator

import pytest

import worker.giving_way
from inference.runner import IN_CALLERS_THREAD, runner
from worker.giving_way import OFFER, OFFER_S, giving_way

PATIENCE_S = 5.0


@pytest.fixture
def offers_held_back() -> Iterator[None]:
    """Offers stay pending, where the test can take them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {OFFER})
    yield
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {OFFER})


def _compute() -> float:
    begin = time.thread_time()
    hashlib.pbkdf2_hmac("sha256", b"leaf", b"salt", 50_000)
    return time.thread_time() - begin


def _offers_stop() -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if signal.sigtimedwait({OFFER}, 20 * OFFER_S) is None:
            return True
    return False


def test_the_core_is_offered_while_a_job_runs(offers_held_back: None) -> None:
    with giving_way():
        assert signal.sigtimedwait({OFFER}, PATIENCE_S) is not None


def test_nothing_is_offered_once_it_has_ended(offers_held_back: None) -> None:
    with giving_way():
        pass
    assert _offers_stop()


def test_it_computes_only_where_nobody_else_wants_the_core() -> None:
    with giving_way():
        assert runner.get().run(lambda: os.sched_getscheduler(0)) == os.SCHED_IDLE
        assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_job_that_gets_too_little_of_a_core_takes_its_share(offers_held_back: None,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it gets nothing: it waits."""
    monkeypatch.setattr(worker.giving_way, "LOOK_S", 0.01)
    with giving_way():
        assert signal.sigtimedwait({OFFER}, PATIENCE_S) is not None
        assert _offers_stop()
        assert runner.get().run(lambda: os.sched_getscheduler(0)) == os.SCHED_OTHER


def test_what_it_computes_counts_as_its_processor_time() -> None:
    with giving_way():
        before = runner.get().core_s()
        used = runner.get().run(_compute)
        assert runner.get().core_s() - before >= used > 0


def test_what_fails_inside_fails_for_the_job() -> None:
    with giving_way(), pytest.raises(ZeroDivisionError):
        runner.get().run(lambda: 1 // 0)


def test_what_runs_inside_does_not_notice() -> None:
    begin = time.monotonic()
    with giving_way():
        found = hashlib.pbkdf2_hmac("sha256", b"leaf", b"salt", 50_000)
        time.sleep(0.05)
    assert time.monotonic() - begin >= 0.05
    assert found == hashlib.pbkdf2_hmac("sha256", b"leaf", b"salt", 50_000)


def test_a_job_runs_also_where_no_timer_is_left(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_SIGPENDING)
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, hard))
    ran = []
    try:
        with caplog.at_level(logging.WARNING), giving_way():
            ran.append(True)
    finally:
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (soft, hard))
    assert ran == [True]
    assert "by its priority only" in caplog.text
    assert runner.get() is IN_CALLERS_THREAD
