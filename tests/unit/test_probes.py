from collections.abc import Sequence
from pathlib import Path

import pytest

import probes
from probes import MOST_ASKERS, MOST_S, note, read, seconds_until_seen


@pytest.mark.parametrize(("times", "seconds"), [
    ((), 0), ((99.0,), 0), ((97.0, 99.0), 0),  # too few to tell
    ((95.0, 97.0, 99.0), 9), ((98.0, 98.5, 99.0, 99.5), 3), ((94.0, 97.0, 97.5), 13),
    ((70.0, 80.0, 90.0), MOST_S), ((40.0, 70.0, 99.0), 0),  # every 10 s, every 30 s
    ((99.7, 99.8, 99.9), 0),  # somebody waits for something
    ((98.0, 98.3, 98.6), 0), ((10.0, 12.0, 14.0), 0)])  # they stopped asking
def test_a_regular_asker_gets_four_intervals(times: Sequence[float], seconds: float) -> None:
    assert seconds_until_seen({"10.0.0.1": times}, now=100.0) == seconds


def test_the_slowest_asker_counts() -> None:
    assert seconds_until_seen({"a": (97.0, 98.0, 99.0), "b": (94.0, 96.0, 98.0), "c": (1.0,)}, now=100.0) == 9
    assert seconds_until_seen({}, now=100.0) == 0


def test_the_newest_times_of_each_asker_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, now = tmp_path / "probes", iter(range(100))
    monkeypatch.setattr(probes.time, "monotonic", lambda: float(next(now)))
    for asker in ("10.0.0.1", "fe80::1%../x", *["10.0.0.1"] * 7):
        note(folder, asker)
    assert read(folder) == {"10.0.0.1": [4, 5, 6, 7, 8], "fe80::1%25..%2Fx": [1]}


def test_askers_do_not_fill_the_disk(tmp_path: Path) -> None:
    for number in range(MOST_ASKERS + 9):
        note(tmp_path, f"10.0.0.{number}")
    assert len(read(tmp_path)) == MOST_ASKERS


def test_a_disk_that_takes_nothing_hinders_no_answer(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    note(tmp_path / "file" / "probes", "10.0.0.1")
