import threading
import time

import pytest

from worker.heartbeats import Heartbeats


def test_what_runs_has_heartbeats_until_it_ends() -> None:
    beaten: list[str] = []
    beats = threading.Semaphore(0)

    def beat(running: str) -> None:
        beaten.append(running)
        beats.release()

    heartbeats = Heartbeats(beat, 0.001)
    for name in ("one", "another"):
        with heartbeats.of(name):
            assert beats.acquire(timeout=10) and beats.acquire(timeout=10)
        seen = len(beaten)
        time.sleep(0.02)
        assert len(beaten) == seen and beaten[-1] == name


def test_one_thread_does_for_all() -> None:
    before = threading.active_count()
    heartbeats = Heartbeats[int](lambda running: None, 100)
    for number in range(5):
        with heartbeats.of(number):
            assert threading.active_count() == before + 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_one_costs_the_others_no_heartbeat() -> None:
    beaten: list[str] = []
    beats = threading.Semaphore(0)

    def beat(running: str) -> None:
        beaten.append(running)
        beats.release()
        if running == "one":
            raise ValueError("unexpected")

    heartbeats = Heartbeats(beat, 0.001)
    for name in ("one", "another"):
        with heartbeats.of(name):
            assert beats.acquire(timeout=10)
            time.sleep(0.02)  # for the thread to end
    assert set(beaten) == {"one", "another"}
