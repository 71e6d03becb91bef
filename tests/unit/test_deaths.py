"""How a predictor died is told to who asked it."""

import logging
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from predictors import deaths as module
from predictors.deaths import DECODED_TOO_LONG, FROM_OUTSIDE, KEPT_S, Deaths


@pytest.mark.parametrize(("status", "how"), [
    (-signal.SIGKILL, FROM_OUTSIDE), (-signal.SIGSEGV, "SIGSEGV"), (-signal.SIGABRT, "SIGABRT"), (1, "exit code 1"),
    (0, "exit code 0"), (-signal.SIGPROF, DECODED_TOO_LONG)])
def test_only_a_kill_comes_from_outside(tmp_path: Path, status: int, how: str) -> None:
    Deaths(tmp_path / "deaths").note("quick-1", status, 7, is_replaced=True)
    assert Deaths(tmp_path / "deaths").how("quick-1") == how


def test_a_kill_for_want_of_memory_is_the_images_doing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       caplog: pytest.LogCaptureFixture) -> None:
    counts = iter([3, 4])
    monkeypatch.setattr(module, "_killed_for_memory", lambda: next(counts))
    deaths = Deaths(tmp_path / "deaths")
    deaths.note("quick-1", -signal.SIGKILL, 7, is_replaced=True)
    monkeypatch.setattr(module, "_killed_for_memory", lambda: 4)
    assert Deaths(tmp_path / "deaths").how("quick-1") not in (None, FROM_OUTSIDE)
    assert caplog.messages == ["predictor quick-1 (pid 7) was killed by SIGKILL for want of memory; another takes its "
                               "place"]


@pytest.mark.parametrize(("status", "is_replaced", "told"), [
    (-signal.SIGKILL, True, "was killed by SIGKILL from outside; another takes its place"),
    (-signal.SIGSEGV, True, "was killed by SIGSEGV; another takes its place"),
    (-signal.SIGRTMIN - 1, True, "was killed by signal 35; another takes its place"),
    (-signal.SIGPROF, True, f"was killed by SIGPROF: {DECODED_TOO_LONG}; another takes its place"),
    (1, False, "ended with exit code 1")])
def test_a_death_is_logged_with_its_signal_and_what_follows(tmp_path: Path, caplog: pytest.LogCaptureFixture,
                                                            status: int, is_replaced: bool, told: str) -> None:
    with caplog.at_level(logging.INFO):
        Deaths(tmp_path / "deaths").note("quick-1", status, 7, is_replaced)
    assert caplog.messages == [f"predictor quick-1 (pid 7) {told}"]


def test_a_death_that_nobody_tells_of_is_no_word_on_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLD_WITHIN_S", 0.03)
    assert Deaths(tmp_path / "deaths").how("quick-1") is None


def test_who_asks_first_waits_until_it_is_told(tmp_path: Path) -> None:
    deaths = Deaths(tmp_path / "deaths")
    later = threading.Timer(0.05, deaths.note, ("quick-1", -signal.SIGSEGV, 7, True))
    later.start()
    assert Deaths(tmp_path / "deaths").how("quick-1") not in (None, FROM_OUTSIDE)
    later.join(5)


def test_old_deaths_are_forgotten(tmp_path: Path) -> None:
    deaths, folder = Deaths(tmp_path / "deaths"), tmp_path / "deaths"
    deaths.note("quick-1", 1, 7, is_replaced=True)
    long_ago = time.time() - KEPT_S - 1
    os.utime(folder / "quick-1", (long_ago, long_ago))
    deaths.note("quick-2", 1, 8, is_replaced=True)
    assert [file.name for file in folder.iterdir()] == ["quick-2"]
