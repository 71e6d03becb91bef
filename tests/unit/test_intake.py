"""gevent without monkey patching: `threading` here is native, as it is inside a call of the intake."""

import threading

import gevent
import pytest

from api.intake import LOOP_BYTES, THREADS, Intake

PATIENCE_S = 20


@pytest.fixture
def intake() -> Intake:
    intake = Intake()
    intake.start()
    return intake


def test_calls_run_in_native_threads_while_the_event_loop_goes_on(intake: Intake) -> None:
    opened = threading.Event()
    calls = [gevent.spawn(intake.run, lambda: (opened.wait(PATIENCE_S), threading.get_ident()))
             for _ in range(THREADS)]
    gevent.sleep(0.01)
    opened.set()
    gevent.joinall(calls, timeout=PATIENCE_S, raise_error=True)
    was_opened, threads = zip(*(call.value for call in calls), strict=True)
    assert all(was_opened)
    assert len({*threads, threading.get_ident()}) == THREADS + 1


def test_an_exception_comes_back_without_a_traceback_in_the_log(intake: Intake,
                                                                capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise LookupError("as the call said")

    for _ in range(2 * THREADS):
        with pytest.raises(LookupError, match="as the call said"):
            intake.run(fail)
    assert intake.run(lambda: "still there") == "still there"
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("size", "elsewhere"), [(LOOP_BYTES, False), (LOOP_BYTES + 1, True)])
def test_only_what_is_large_goes_to_a_thread(intake: Intake, size: int, elsewhere: bool) -> None:
    assert (intake.off_loop(size, threading.get_ident) != threading.get_ident()) == elsewhere
