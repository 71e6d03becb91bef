"""Decoding on an inline route ends in time, between two pieces of a file or in the middle of a library."""

import hashlib
import signal
import time
from collections.abc import Callable

import pytest

from inference.errors import CalledOff, SlowToDecode
from predictors.decode_limit import LAST_MOMENT, DecodeLimit, limit_of
from tests.unit.forks import forked


def nothing() -> None:
    """Nobody calls it off."""


def compute(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_decoding_ends_between_two_pieces_of_the_file() -> None:
    with DecodeLimit(200)(nothing) as check:
        check()
        compute(0.201)
        with pytest.raises(SlowToDecode, match="200 ms"):
            check()


def test_it_can_still_be_called_off() -> None:
    def called_off() -> None:
        raise CalledOff("gone")

    with pytest.raises(CalledOff), DecodeLimit(1000)(called_off) as check:
        check()


def test_a_library_that_goes_on_ends_the_process() -> None:
    def life(say_ready: Callable[[], None]) -> None:
        with DecodeLimit(30)(nothing):
            hashlib.pbkdf2_hmac("sha256", b"one call", b"", 20_000_000)

    began = time.monotonic()
    assert forked(life).status() == -signal.SIGPROF
    assert time.monotonic() - began < 5


def test_nothing_ends_the_process_afterwards() -> None:
    def life(say_ready: Callable[[], None]) -> None:
        with DecodeLimit(20)(nothing):
            pass
        compute(0.06 * LAST_MOMENT)

    assert forked(life).status() == 0


@pytest.mark.parametrize(("group", "budget_ms", "core_ms"), [
    ("quick", 250, 250), ("long", 250, 500), ("job", 250, None), ("device", 250, None), ("quick", 0, None)])
def test_each_inline_group_has_its_limit(group: str, budget_ms: float, core_ms: float | None) -> None:
    assert limit_of(group, budget_ms) == (None if core_ms is None else DecodeLimit(core_ms))
