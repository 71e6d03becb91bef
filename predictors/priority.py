"""Background priority: quick work takes a core first."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
# docs/decisions/background-priority.md has what each of these does to quick requests, and what slow work keeps.
NICENESS = {"long": 12, "job": 7}
LEAST_SHARE = 0.2  # of a core: who gets less in the idle thread leaves it
AMPLE_SHARE = 0.5  # who gets so much outside goes back


def become_background(group: str) -> None:
    """For the life of the calling process and of the threads that it starts. The quick group stays as it is, and so
    does a process that was started at a lower priority: nobody may go back."""
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS.get(group, 0), os.getpriority(os.PRIO_PROCESS, 0)))


def at_once(call: Callable[[], T]) -> T:
    """Run a call in the caller's thread."""
    return call()


class IdleThread:
    """Runs calls in a thread of policy SCHED_IDLE, as long as that gets enough of a core.

    Linux lets a quick thread that wakes have such a thread's core at once. Beside clients who take all they can,
    though, the thread would starve: there the calls run in the caller's thread, at its own low priority. A thread may
    not leave SCHED_IDLE without a privilege.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "idle", become_idle)
        self._gets_enough = True

    def run(self, call: Callable[[], T]) -> T:
        """What the call returns. Raises what it raises."""
        wall_s, core_s = time.monotonic(), time.process_time()
        try:
            return self._thread.submit(call).result() if self._gets_enough else call()
        finally:
            share = (time.process_time() - core_s) / max(time.monotonic() - wall_s, 1e-9)
            self._gets_enough = share >= (LEAST_SHARE if self._gets_enough else AMPLE_SHARE)


def become_idle() -> None:
    """Give the calling thread the policy SCHED_IDLE for the rest of its life."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
