"""Units that processes share out among themselves."""

from collections.abc import Callable
from pathlib import Path

from predictors.shared_units import SharedUnits
from tests.unit.forks import Fork, forked, sleep_for_ever


def takes_for_good(path: Path, wanted: int) -> Fork:
    def life(say_ready: Callable[[], None]) -> None:
        units = SharedUnits(path, 4)
        assert units.take(wanted, range(4))
        say_ready()
        sleep_for_ever()

    return forked(life)


def test_a_process_takes_as_many_as_it_wants_or_none(tmp_path: Path) -> None:
    units = SharedUnits(tmp_path / "units", 4)
    assert len(set(units.take(3, range(4)))) == 3
    assert units.take(2, range(4)) == []
    assert len(units.take(1, range(4))) == 1
    assert units.take(1, range(4)) == []


def test_only_the_units_that_are_asked_for_are_taken(tmp_path: Path) -> None:
    units = SharedUnits(tmp_path / "units", 4)
    assert sorted(units.take(2, range(2, 4))) == [2, 3]
    assert units.take(1, range(2, 4)) == []
    assert sorted(units.take(2, range(2))) == [0, 1]


def test_released_units_can_be_taken_again(tmp_path: Path) -> None:
    units = SharedUnits(tmp_path / "units", 4)
    units.release(units.take(4, range(4)))
    assert len(units.take(4, range(4))) == 4


def test_what_another_process_took_is_taken_until_it_dies(tmp_path: Path) -> None:
    units = SharedUnits(tmp_path / "units", 4)
    other = takes_for_good(tmp_path / "units", 3)
    try:
        assert units.take(2, range(4)) == []
        one = units.take(1, range(4))
        assert len(one) == 1
    finally:
        other.kill()
    assert len(units.take(3, range(4))) == 3


def test_who_gets_too_few_keeps_none_from_the_others(tmp_path: Path) -> None:
    units = SharedUnits(tmp_path / "units", 4)
    other = takes_for_good(tmp_path / "units", 1)
    try:
        assert units.take(4, range(4)) == []
        third = takes_for_good(tmp_path / "units", 3)
        assert units.take(1, range(4)) == []
        third.kill()
    finally:
        other.kill()
