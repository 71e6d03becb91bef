"""Batches of tiles run on several threads, as many as cores are free."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from inference.prediction import Batch
from predictors.shared_units import SharedUnits
from predictors.tile_threads import TileThreads
from tests.unit.forks import forked, sleep_for_ever

CORES = 3


def batch(number: int) -> Batch:
    return Batch([], {"number": number})


def numbers(batches: Iterator[Batch]) -> list[float]:
    return [found.phases_ms["number"] for found in batches]


@pytest.fixture
def cores(tmp_path: Path) -> SharedUnits:
    return SharedUnits(tmp_path / "cores", CORES)


class Counted:
    """Calls that meet: each waits until `together` of them run, and the most that ran at a time is kept."""

    def __init__(self, together: int) -> None:
        self._lock, self._barrier = threading.Lock(), threading.Barrier(together)
        self._running = self.most = 0

    def __call__(self, number: int) -> Batch:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        self._barrier.wait(10)
        with self._lock:
            self._running -= 1
        return batch(number)


def test_batches_come_in_order_whichever_ends_first(cores: SharedUnits) -> None:
    second_ended = threading.Event()

    def first() -> Batch:
        assert second_ended.wait(10)
        return batch(0)

    def second() -> Batch:
        second_ended.set()
        return batch(1)

    calls: list[Callable[[], Batch]] = [first, second, *(partial(batch, number) for number in range(2, 9))]
    assert numbers(TileThreads(cores).run_all(calls)) == list(range(9))


def test_as_many_run_at_a_time_as_there_are_cores(cores: SharedUnits) -> None:
    counted = Counted(CORES)
    calls = [partial(counted, number) for number in range(3 * CORES)]
    assert numbers(TileThreads(cores).run_all(calls)) == list(range(3 * CORES))
    assert counted.most == CORES


def test_no_batch_is_prepared_before_it_can_be_computed(cores: SharedUnits) -> None:
    prepared: list[int] = []

    def calls() -> Iterator[Callable[[], Batch]]:
        for number in range(20):
            prepared.append(number)
            yield partial(batch, number)

    batches = TileThreads(cores).run_all(calls())
    next(batches)
    assert len(prepared) <= CORES + 1
    assert len(numbers(batches)) == 19


def test_an_error_of_a_batch_is_raised_and_the_cores_are_given_back(cores: SharedUnits) -> None:
    def fails() -> Batch:
        raise ZeroDivisionError

    threads = TileThreads(cores)
    with pytest.raises(ZeroDivisionError):
        numbers(threads.run_all([partial(batch, 0), fails, partial(batch, 2)]))
    assert_all_are_free(cores)
    assert numbers(threads.run_all([partial(batch, 0)])) == [0]


def test_a_consumer_that_stops_early_gives_the_cores_back(cores: SharedUnits) -> None:
    batches = TileThreads(cores).run_all(partial(batch, number) for number in range(9))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert_all_are_free(cores)


def test_an_error_while_the_calls_are_made_gives_the_cores_back(cores: SharedUnits) -> None:
    def calls() -> Iterator[Callable[[], Batch]]:
        yield partial(batch, 0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        numbers(TileThreads(cores).run_all(calls()))
    assert_all_are_free(cores)


def test_who_finds_all_cores_taken_computes_one_batch_at_a_time(cores: SharedUnits, tmp_path: Path) -> None:
    def life(say_ready: Callable[[], None]) -> None:
        assert SharedUnits(tmp_path / "cores", CORES).take(CORES, range(CORES))
        say_ready()
        sleep_for_ever()

    other = forked(life)
    try:
        alone = Counted(1)
        assert numbers(TileThreads(cores).run_all(partial(alone, number) for number in range(6))) == list(range(6))
        assert alone.most == 1
    finally:
        other.kill()


def test_cores_that_become_free_meanwhile_are_used(cores: SharedUnits) -> None:
    taken = cores.take(CORES, range(CORES))
    counted = Counted(2)

    def calls() -> Iterator[Callable[[], Batch]]:
        yield partial(batch, 0)
        cores.release(taken)
        yield from (partial(counted, number) for number in range(1, 5))

    assert numbers(TileThreads(cores).run_all(calls())) == list(range(5))
    assert counted.most >= 2


def assert_all_are_free(cores: SharedUnits) -> None:
    taken = cores.take(CORES, range(CORES))
    assert len(taken) == CORES
    cores.release(taken)


def test_batches_run_in_idle_threads_until_one_starves_and_again_once_it_has_ended(cores: SharedUnits) -> None:
    goes_on, policies = threading.Event(), list[int]()

    def policy(number: int) -> Batch:
        policies.append(os.sched_getscheduler(0))
        return batch(number)

    def starves(number: int) -> Batch:
        if os.sched_getscheduler(0) == os.SCHED_IDLE:
            assert goes_on.wait(30)  # without a core it does not go on
        return policy(number)

    threads = TileThreads(cores)
    assert numbers(threads.run_all([partial(policy, 0)])) == [0]
    assert numbers(threads.run_all([partial(starves, 1), partial(policy, 2)])) == [1, 2]
    assert numbers(threads.run_all([partial(policy, 3)])) == [3]
    assert policies == [os.SCHED_IDLE, os.SCHED_IDLE, os.SCHED_OTHER, os.SCHED_OTHER]
    goes_on.set()
    wait_until(lambda: len(policies) == 5)
    assert numbers(threads.run_all([partial(policy, 4)])) == [4]
    assert policies[4:] == [os.SCHED_IDLE, os.SCHED_IDLE]


def wait_until(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.01)
