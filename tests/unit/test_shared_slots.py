from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from api.shared_slots import SharedSlots

COUNT = 3


def started(file: Path) -> SharedSlots:
    slots = SharedSlots(file, COUNT)
    slots.start()
    return slots


@pytest.fixture
def slots(tmp_path: Path) -> SharedSlots:
    return started(tmp_path / "slots")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process that takes a slot, and tells which, or gives it back, as it is told."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_follow, args=(there, tmp_path / "slots"), daemon=True)
    process.start()
    yield process, here
    process.kill()
    process.join()


def _follow(orders: Connection, file: Path) -> None:
    slots = started(file)
    while True:
        given_back = orders.recv()
        if given_back is not None:
            slots.give_back(given_back)
        orders.send(slots.take() if given_back is None else None)


def told(orders: Connection, given_back: int | None = None) -> int | None:
    orders.send(given_back)
    return orders.recv()


def test_there_are_so_many_and_each_is_taken_once(slots: SharedSlots) -> None:
    assert {slots.take() for _ in range(COUNT)} == set(range(COUNT))
    assert slots.take() is None
    slots.give_back(1)
    assert slots.take() == 1


def test_what_one_process_has_taken_another_does_not_get(
        slots: SharedSlots, other: tuple[BaseProcess, Connection]) -> None:
    _, orders = other
    mine, theirs = slots.take(), told(orders)
    assert {mine, theirs, slots.take()} == set(range(COUNT))
    assert told(orders) is None
    assert theirs is not None
    told(orders, given_back=theirs)
    assert slots.take() == theirs


def test_a_process_that_is_killed_lets_go(slots: SharedSlots, other: tuple[BaseProcess, Connection]) -> None:
    process, orders = other
    assert None not in [told(orders) for _ in range(COUNT)]
    assert slots.take() is None
    process.kill()
    process.join()
    assert {slots.take() for _ in range(COUNT)} == set(range(COUNT))
