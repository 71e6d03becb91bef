"""How slow work gives way: measured by the kernel's own accounts, in processes of their own."""

import os
import time

import pytest

from predictors.priority import IdleThread, become_background
from tests.unit.forks import forked


def policy() -> int:
    return os.sched_getscheduler(0)


def spin(seconds: float) -> int:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return policy()


def starve(seconds: float) -> int:
    """Wait, as a thread does that gets no core."""
    time.sleep(seconds)
    return policy()


@pytest.mark.parametrize("group", ["quick", "long", "job"])
def test_each_group_has_its_priority(group: str) -> None:
    def life(say_ready: object) -> None:
        become_background(group)
        assert os.getpriority(os.PRIO_PROCESS, 0) == {"quick": 0, "long": 12, "job": 7}[group]

    assert forked(life).status() == 0


def test_a_process_of_a_lower_priority_keeps_it() -> None:
    def life(say_ready: object) -> None:
        os.nice(15)
        for group in ("quick", "long", "job"):
            become_background(group)
            assert os.getpriority(os.PRIO_PROCESS, 0) == 15

    assert forked(life).status() == 0


def test_calls_run_in_the_idle_thread_as_long_as_it_gets_enough_of_a_core() -> None:
    thread = IdleThread()
    assert thread.run(lambda: spin(0.02)) == os.SCHED_IDLE
    assert thread.run(lambda: starve(0.05)) == os.SCHED_IDLE  # it gets less than LEAST_SHARE
    assert thread.run(lambda: starve(0.05)) == os.SCHED_OTHER
    assert thread.run(lambda: spin(0.05)) == os.SCHED_OTHER  # it gets more than AMPLE_SHARE
    assert thread.run(lambda: spin(0.01)) == os.SCHED_IDLE


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        IdleThread().run(fail)
