"""Native threads behind greenlets: two lanes with counted slots, an intake, and one thread that loads models. The
only import of gevent.

The hub never computes. A prediction is one call in a native thread of its lane; what it returns or raises comes back
as a value, so that nothing of gevent's is touched outside the hub.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from gevent.event import Event
from gevent.threadpool import ThreadPool

T = TypeVar("T")
# Of the long lane's threads, as of the job workers (docs/architecture.md, "Priorities").
LOW_PRIORITY = 10
LOADING_PRIORITY = 5  # loading a model comes to an end also where requests take all cores
INTAKE_THREADS = 2
# Parsing more than this goes to a thread of the intake: below it, the hop costs more than the parsing.
HUB_BYTES = 1 << 16


class Lane:
    """At most `slots` calls at a time; who comes when all are taken waits in line and is handed a slot."""

    def __init__(self, slots: int, niceness: int = 0) -> None:
        self._free = slots
        self._line: deque[Event] = deque()
        self._niceness = niceness
        self._slots = slots
        self._threads: ThreadPool | None = None

    def start(self) -> None:
        """Make the native threads' pool; after a fork, never before."""
        self._threads = ThreadPool(self._slots)

    def run(self, call: Callable[[], T]) -> tuple[T, float]:
        """Run `call` in a native thread.

        Returns:
            what it returned, and the milliseconds it waited for its slot.

        Raises:
            what it raised.
        """
        assert self._threads is not None, "start() comes first"
        arrived = time.perf_counter()
        self._take()
        waited_ms = (time.perf_counter() - arrived) * 1000
        try:
            # A greenlet may be killed while the native call goes on; the slot comes back when the call ends.
            pending = self._threads.spawn(_guarded, call, self._niceness)
        except BaseException:
            self._give_back()
            raise
        pending.rawlink(lambda _: self._give_back())
        value, error = pending.get()
        if error is not None:
            raise error
        return value, waited_ms

    def _take(self) -> None:
        if self._free:
            self._free -= 1
            return
        turn = Event()
        self._line.append(turn)
        try:
            turn.wait()
        except BaseException:
            self._leave_line(turn)
            raise

    def _leave_line(self, turn: Event) -> None:
        if turn.is_set():  # it was handed a slot in the moment it was killed
            self._give_back()
        else:
            self._line.remove(turn)

    def _give_back(self) -> None:
        """Hand the slot to the first in line: with a plain semaphore whoever gives back takes it again."""
        if self._line:
            self._line.popleft().set()
        else:
            self._free += 1


def _guarded(call: Callable[[], T], niceness: int) -> tuple[T | None, Exception | None]:
    """In the native thread: an exception crosses as a value, or gevent would print its traceback."""
    try:
        if niceness > os.getpriority(os.PRIO_PROCESS, 0):  # 0: on Linux the calling thread; nobody may go back
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
        return call(), None
    except Exception as error:
        return None, error


class Lanes:
    """The threads of one process."""

    def __init__(self, inline_slots: int) -> None:
        self.quick = Lane(inline_slots)
        self.long = Lane(inline_slots, LOW_PRIORITY)
        self.intake = Lane(INTAKE_THREADS)
        self.models = Lane(1, LOADING_PRIORITY)

    def off_hub(self, size_bytes: int, call: Callable[[], T]) -> T:
        """Run a call that takes time by the size of its input where it does not hold up the hub."""
        return self.intake.run(call)[0] if size_bytes > HUB_BYTES else call()

    def start(self) -> None:
        for lane in (self.quick, self.long, self.intake, self.models):
            lane.start()
