"""Decoded images of all predictors share one budget."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.errors import CalledOff
from predictors.protocol import Route
from predictors.reservations import UNIT_BYTES, DecodedBytes
from tests.unit.forks import Fork, forked, sleep_for_ever

LIMIT = 16 * UNIT_BYTES  # 4 units are the quick route's


def decoded(path: Path, group: str = "long") -> DecodedBytes:
    return DecodedBytes(path, LIMIT, group)


def never() -> None:
    """Nobody calls the wait off."""


def at_once() -> None:
    raise CalledOff("it has to wait")


def has_room(path: Path, units: int, group: str = "long") -> bool:
    """As another process finds it."""
    def life(say_ready: Callable[[], None]) -> None:
        with decoded(path, group).reserved(units * UNIT_BYTES, at_once):
            pass

    return forked(life).status() == 0


def holds(path: Path, units: int, group: str = "long") -> Fork:
    """A process that holds so many units until it is killed."""
    def life(say_ready: Callable[[], None]) -> None:
        with decoded(path, group).reserved(units * UNIT_BYTES, never):
            say_ready()
            sleep_for_ever()

    return forked(life)


def waits(path: Path, units: int, group: str = "long") -> Fork:
    """A process that found no room, and waits at the head of its group."""
    def life(say_ready: Callable[[], None]) -> None:
        looks = iter([never, say_ready])
        with decoded(path, group).reserved(units * UNIT_BYTES, lambda: next(looks, never)()):
            pass

    return forked(life)


def test_room_is_given_back_at_the_end(tmp_path: Path) -> None:
    room = decoded(tmp_path / "decoded")
    for _ in range(2):
        with room.reserved(12 * UNIT_BYTES, at_once):
            assert not has_room(tmp_path / "decoded", 1)
    assert has_room(tmp_path / "decoded", 12)


def test_an_error_gives_room_back_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), decoded(tmp_path / "decoded").reserved(12 * UNIT_BYTES, at_once):
        raise ZeroDivisionError
    assert has_room(tmp_path / "decoded", 12)


def test_a_death_gives_room_back(tmp_path: Path) -> None:
    other = holds(tmp_path / "decoded", 12)
    assert not has_room(tmp_path / "decoded", 1)
    other.kill()
    assert has_room(tmp_path / "decoded", 12)


@pytest.mark.parametrize("group", ["long", "job", "device"])
def test_a_quarter_is_the_quick_routes_alone(tmp_path: Path, group: Route) -> None:
    with decoded(tmp_path / "decoded", group).reserved(LIMIT, at_once):
        assert has_room(tmp_path / "decoded", 4, "quick")
    with decoded(tmp_path / "decoded", "quick").reserved(LIMIT, at_once):
        assert has_room(tmp_path / "decoded", 12, group)


def test_an_image_larger_than_its_part_takes_all_of_it(tmp_path: Path) -> None:
    with decoded(tmp_path / "decoded").reserved(1000 * UNIT_BYTES, at_once):
        assert not has_room(tmp_path / "decoded", 1)
    other = holds(tmp_path / "decoded", 1)
    assert not has_room(tmp_path / "decoded", 1000)
    other.kill()


def test_a_large_image_is_not_overtaken_by_smaller_ones_but_on_the_quick_route(tmp_path: Path) -> None:
    first = holds(tmp_path / "decoded", 6)
    large = waits(tmp_path / "decoded", 12)
    assert not has_room(tmp_path / "decoded", 1)
    assert not has_room(tmp_path / "decoded", 1, "job")
    assert has_room(tmp_path / "decoded", 1, "quick")
    first.kill()
    assert large.status() == 0
    assert has_room(tmp_path / "decoded", 12)


def test_a_wait_ends_when_it_is_called_off(tmp_path: Path) -> None:
    other = holds(tmp_path / "decoded", 12)
    called_off = threading.Event()

    def check() -> None:
        if called_off.is_set():
            raise CalledOff("nobody waits for it")
        called_off.set()

    with pytest.raises(CalledOff), decoded(tmp_path / "decoded").reserved(UNIT_BYTES, check):
        pytest.fail("there was room")
    other.kill()
    assert has_room(tmp_path / "decoded", 12)
