"""How a predictor died is told to who asked it."""

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
    Deaths(tmp_path / "deaths").note("quick-1", status)
    assert Deaths(tmp_path / "deaths").how("quick-1") == how


def test_a_kill_for_want_of_memory_is_the_images_doing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([3, 4])
    monkeypatch.setattr(module, "_killed_for_memory", lambda: next(counts))
    deaths = Deaths(tmp_path / "deaths")
    deaths.note("quick-1", -signal.SIGKILL)
    monkeypatch.setattr(module, "_killed_for_memory", lambda: 4)
    assert Deaths(tmp_path / "deaths").how("quick-1") not in (None, FROM_OUTSIDE)


def test_a_death_that_nobody_tells_of_is_no_word_on_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLD_WITHIN_S", 0.03)
    assert Deaths(tmp_path / "deaths").how("quick-1") is None


def test_who_asks_first_waits_until_it_is_told(tmp_path: Path) -> None:
    deaths = Deaths(tmp_path / "deaths")
    later = threading.Timer(0.05, deaths.note, ("quick-1", -signal.SIGSEGV))
    later.start()
    assert Deaths(tmp_path / "deaths").how("quick-1") not in (None, FROM_OUTSIDE)
    later.join(5)


def test_old_deaths_are_forgotten(tmp_path: Path) -> None:
    deaths, folder = Deaths(tmp_path / "deaths"), tmp_path / "deaths"
    deaths.note("quick-1", 1)
    long_ago = time.time() - KEPT_S - 1
    os.utime(folder / "quick-1", (long_ago, long_ago))
    deaths.note("quick-2", 1)
    assert [file.name for file in folder.iterdir()] == ["quick-2"]
