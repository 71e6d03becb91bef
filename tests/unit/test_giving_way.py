import hashlib
import logging
import resource
import signal
import time
from collections.abc import Iterator

import pytest

from worker import giving_way
from worker.giving_way import OFFER, OFFER_S, offering_core

PATIENCE_S = 5.0


@pytest.fixture
def offers_held_back() -> Iterator[None]:
    """Offers stay pending, where the test can take them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {OFFER})
    yield
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {OFFER})


def _offers_stop() -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if signal.sigtimedwait({OFFER}, 20 * OFFER_S) is None:
            return True
    return False


def test_the_core_is_offered_while_a_job_runs(offers_held_back: None) -> None:
    with offering_core():
        assert signal.sigtimedwait({OFFER}, PATIENCE_S) is not None


def test_nothing_is_offered_once_it_has_ended(offers_held_back: None) -> None:
    with offering_core():
        pass
    assert _offers_stop()


def test_a_job_that_gets_too_little_of_a_core_offers_nothing(offers_held_back: None,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it gets nothing: it waits."""
    monkeypatch.setattr(giving_way, "LOOK_S", 0.01)
    with offering_core():
        assert signal.sigtimedwait({OFFER}, PATIENCE_S) is not None
        assert _offers_stop()


def test_what_runs_inside_does_not_notice() -> None:
    begin = time.monotonic()
    with offering_core():
        found = hashlib.pbkdf2_hmac("sha256", b"leaf", b"salt", 50_000)
        time.sleep(0.05)
    assert time.monotonic() - begin >= 0.05
    assert found == hashlib.pbkdf2_hmac("sha256", b"leaf", b"salt", 50_000)


def test_a_job_runs_also_where_no_timer_is_left(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_SIGPENDING)
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, hard))
    ran = []
    try:
        with caplog.at_level(logging.WARNING), offering_core():
            ran.append(True)
    finally:
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (soft, hard))
    assert ran == [True]
    assert "without offering its core" in caplog.text
