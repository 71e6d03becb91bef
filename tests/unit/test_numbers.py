"""What processes count, through the death of any of them."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metrics.definitions import DIED, OPEN_REQUESTS, PROCESSES, REFUSALS, REQUEST_SECONDS, SECONDS
from metrics.numbers import MOST_MODELS, OTHERS, Numbers
from metrics.slots import CHUNK_BYTES, Slot
from metrics.sums import Sums, all_numbers
from tests.unit.forks import Fork, forked, sleep_for_ever


def counting(folder: Path, count: Callable[[Numbers], object], role: str = "worker") -> Fork:
    """A process that has counted, and lives on."""
    def life(ready: Callable[[], None]) -> None:
        numbers = Numbers(folder)
        numbers.start(role)
        count(numbers)
        ready()
        sleep_for_ever()

    return forked(life)


def once(numbers: Numbers) -> None:
    numbers.add(REFUSALS, "busy")
    numbers.set(OPEN_REQUESTS, 3)
    numbers.observe(REQUEST_SECONDS, 0.003, "/predict")


def sums(folder: Path) -> Sums:
    """As a process tells them that counts nothing itself."""
    return all_numbers(folder, Numbers(folder))


def refused(folder: Path) -> float:
    return sums(folder).get((REFUSALS.name, "busy"), [0.0])[0]


def test_what_several_processes_count_is_added_up(tmp_path: Path) -> None:
    processes = [counting(tmp_path, once) for _ in range(3)]
    found = sums(tmp_path)
    for process in processes:
        process.kill()
    assert found[REFUSALS.name, "busy"] == [3]
    assert found[OPEN_REQUESTS.name,] == [9]
    assert found[PROCESSES.name, "worker"] == [3]
    buckets, total = found[REQUEST_SECONDS.name, "/predict"][:-1], found[REQUEST_SECONDS.name, "/predict"][-1]
    assert {bound: count for bound, count in zip(SECONDS, buckets, strict=False) if count} == {0.005: 3}
    assert total == pytest.approx(0.009)


def test_a_killed_process_loses_no_count_and_its_gauges_are_over(tmp_path: Path) -> None:
    counting(tmp_path, once).kill()
    found = sums(tmp_path)
    assert (found[REFUSALS.name, "busy"], found[DIED.name, "worker"]) == ([1], [1])
    assert (OPEN_REQUESTS.name,) not in found


def test_who_takes_a_killed_ones_place_counts_on(tmp_path: Path) -> None:
    for deaths in range(1, 6):
        counting(tmp_path, once).kill()
        assert (refused(tmp_path), sums(tmp_path)[DIED.name, "worker"]) == (deaths, [deaths])
    assert len(list(tmp_path.iterdir())) == 1
    survivor = counting(tmp_path, once)
    assert (refused(tmp_path), sums(tmp_path)[OPEN_REQUESTS.name,]) == (6, [3])
    survivor.kill()


def test_a_process_that_ends_in_order_has_not_died(tmp_path: Path) -> None:
    def life(ready: Callable[[], None]) -> None:
        with Numbers(tmp_path).living("worker"):
            ready()

    assert forked(life).status() == 0
    assert (DIED.name, "worker") not in sums(tmp_path)


@pytest.mark.parametrize(("code", "deaths"), [(0, None), (1, [1])])
def test_who_exits_with_an_error_has_died(tmp_path: Path, code: int, deaths: list[float] | None) -> None:
    def life(ready: Callable[[], None]) -> None:
        with Numbers(tmp_path).living("worker"):
            ready()
            raise SystemExit(code)

    forked(life).status()
    assert sums(tmp_path).get((DIED.name, "worker")) == deaths


def test_what_a_process_was_about_to_write_when_it_died_counts_for_nothing(tmp_path: Path) -> None:
    counting(tmp_path, once).kill()
    [file] = tmp_path.iterdir()
    torn = bytearray(file.read_bytes())
    used = int.from_bytes(torn[:8], "little")
    torn[used:used + 64] = b"\x07" * 64
    file.write_bytes(torn)
    counting(tmp_path, lambda numbers: numbers.add(REFUSALS, "draining")).kill()
    assert (refused(tmp_path), sums(tmp_path)[REFUSALS.name, "draining"]) == (1, [1])


def test_a_file_grows_with_what_is_counted(tmp_path: Path) -> None:
    def count(numbers: Numbers) -> None:
        for number in range(500):
            numbers.add(REFUSALS, f"problem {number}")
        once(numbers)

    counting(tmp_path, count).kill()
    [file] = tmp_path.iterdir()
    assert file.stat().st_size > CHUNK_BYTES
    assert (refused(tmp_path), sums(tmp_path)[REFUSALS.name, "problem 499"]) == (1, [1])


def test_own_numbers_are_told_beside_those_of_others(tmp_path: Path) -> None:
    def life(ready: Callable[[], None]) -> None:
        own = Numbers(tmp_path)
        own.start("web process")
        once(own)
        for _ in range(3):  # to look at the files must not let go of the own one
            assert all_numbers(tmp_path, own)[REFUSALS.name, "busy"] == [2]
        counting(tmp_path, once).kill()
        assert all_numbers(tmp_path, own)[REFUSALS.name, "busy"] == [3]
        ready()

    other = counting(tmp_path, once)
    assert forked(life).status() == 0
    other.kill()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_full_disk_costs_the_number_and_not_what_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                             caplog: pytest.LogCaptureFixture) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    numbers = Numbers(tmp_path)
    numbers.start("worker")
    for _ in range(3):
        numbers.add(REFUSALS, "busy")
    assert len([line for line in caplog.messages if REFUSALS.name in line]) == 1


def test_a_state_folder_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "deleted" / "numbers")
    numbers.start("worker")
    numbers.add(REFUSALS, "busy")
    assert all_numbers(tmp_path / "deleted" / "numbers", numbers)[REFUSALS.name, "busy"] == [1]


def test_models_that_come_and_go_make_no_labels_for_ever(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path)
    labels = {numbers.model(f"model {number}") for number in range(MOST_MODELS + 100)}
    assert len(labels) == MOST_MODELS + 1
    assert numbers.model("model 0") == "model 0"
    assert numbers.model("one more") == OTHERS


def test_a_key_is_kept_in_any_script(tmp_path: Path) -> None:
    slot = Slot(tmp_path)
    slot.add(("name", "딸기 \"leaf\"\n"), 1)[0] = 2.5
    assert [(key, list(row)) for key, row in slot.rows()] == [(("name", "딸기 \"leaf\"\n"), [2.5])]
    slot.close()
