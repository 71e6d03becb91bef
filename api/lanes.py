"""Native threads behind greenlets: two lanes with counted slots, an intake, and one thread that loads models. The
only import of gevent.

The hub never computes. A prediction is one call in a native thread of its lane; what it returns or raises comes back
as a value, so that nothing of gevent's is touched outside the hub.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import gevent
from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool

from api.shared_slots import SharedSlots
from inference.remote import Unavailable

T = TypeVar("T")
Guarded = tuple[T | None, Exception | None]  # what a call returned or raised
# Of the long lane's threads, as of the job workers (docs/architecture.md, "Priorities").
LOW_PRIORITY = 15
LOADING_PRIORITY = 5  # loading a model comes to an end also where requests take all cores
INTAKE_THREADS = 2
# Before who waits takes a slot that another process leaves idle, and between two looks: at once, while two processes
# share the load evenly, p99 of 4 saturating connections was 20 ms instead of 15 (2026-11-23).
BORROW_S = 0.002
# Parsing more than this goes to a thread of the intake: below it, the hop costs more than the parsing.
HUB_BYTES = 1 << 16


class Turn(Generic[T]):
    """One call's turn in a lane: it waits in line, runs, ends. Its caller's greenlet takes it through."""

    def __init__(self, lane: "Lane", call: Callable[[], T], elsewhere: Callable[[], T] | None, cost_ms: float,
                 size_bytes: int) -> None:
        self.cost_ms, self.size_bytes = cost_ms, size_bytes
        self.has_slot = Event()
        self._lane, self._call, self._elsewhere = lane, call, elsewhere
        self._arrived, self._waited_ms = time.perf_counter(), 0.0
        self._pending: AsyncResult | None = None
        self.shared_slot: int | None = None

    @property
    def begun(self) -> bool:
        return self._pending is not None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether the call has ended, after at most `timeout_s`; a greenlet that is killed here gives its slot back
        when the native call ends."""
        deadline = None if timeout_s is None else time.perf_counter() + timeout_s
        pending = self._pending or self._begun_within(timeout_s)
        if pending is None:
            return False
        pending.wait(None if deadline is None else max(0.0, deadline - time.perf_counter()))
        return pending.ready()

    def result(self) -> tuple[T, float]:
        """What the ended call returned, and the milliseconds it waited for its slot. Raises what it raised."""
        assert self._pending is not None, "wait() comes first"
        value, error = self._pending.get()
        if error is not None:
            raise error
        return value, self._waited_ms

    def withdraw(self) -> bool:
        """Leave the line. False where the call has begun already: it goes on."""
        if self.begun:
            return False
        self._lane.leave(self)
        return True

    def _begun_within(self, timeout_s: float | None) -> AsyncResult | None:
        try:
            if not self.has_slot.wait(timeout_s):
                return None
            self._waited_ms = (time.perf_counter() - self._arrived) * 1000
            self._pending = self._lane.spawn(self._call, self._elsewhere)
        except BaseException:
            self.withdraw()
            raise
        self._pending.rawlink(lambda _: self._lane.give_back(self))
        return self._pending


class Lane:
    """At most `slots` calls at a time; who comes when all are taken waits in line and is handed a slot.

    With `max_bytes` calls that hold more than that together wait too; one that is larger runs alone. With `shared`
    those in line use slots that other processes leave idle; its own slots a process may always use.
    """

    def __init__(self, slots: int, niceness: int = 0, max_bytes: float = float("inf"),
                 shared: SharedSlots | None = None) -> None:
        self._slots, self._niceness, self._max_bytes, self._shared = slots, niceness, max_bytes, shared
        self._is_borrowing = False
        self._line: deque[Turn] = deque()
        self._running = self._bytes = 0
        self._cost_ms = 0.0
        self._threads: ThreadPool | None = None

    def start(self) -> None:
        """Make the native threads' pool; after a fork, never before."""
        if self._shared is not None:
            self._shared.start()
        self._threads = ThreadPool(max(self._slots, self._shared.count) if self._shared else self._slots)

    @property
    def backlog_ms(self) -> float:
        """How long who comes now will wait, by the predicted cost of all that wait and run."""
        return self._cost_ms / self._slots

    def begin(self, call: Callable[[], T], cost_ms: float = 0.0, size_bytes: int = 0,
              elsewhere: Callable[[], T] | None = None) -> Turn[T]:
        """Stand in line with `call`, which is predicted to take `cost_ms` and to hold `size_bytes`. Where `elsewhere`
        is given it is called instead, in a greenlet; if it raises Unavailable, `call` after all."""
        turn = Turn(self, call, elsewhere, cost_ms, size_bytes)
        self._cost_ms += cost_ms
        self._line.append(turn)
        self._hand_over()
        return turn

    def run(self, call: Callable[[], T]) -> tuple[T, float]:
        """Run `call` in a native thread.

        Returns:
            what it returned, and the milliseconds it waited for its slot.

        Raises:
            what it raised.
        """
        turn = self.begin(call)
        turn.wait()
        return turn.result()

    def spawn(self, call: Callable[[], T], elsewhere: Callable[[], T] | None = None) -> AsyncResult:
        """For the turn that was handed a slot."""
        assert self._threads is not None, "start() comes first"
        if elsewhere is None:
            return self._threads.spawn(_guarded, call, self._niceness)
        pending = AsyncResult()
        gevent.spawn(self._elsewhere_or_here, elsewhere, call).link(pending)
        return pending

    def _elsewhere_or_here(self, elsewhere: Callable[[], T], call: Callable[[], T]) -> "Guarded[T]":
        try:
            return elsewhere(), None
        except Unavailable:
            return self.spawn(call).get()
        except Exception as error:
            return None, error

    def leave(self, turn: Turn) -> None:
        """A turn that did not begin goes, with a slot that it may just have been handed."""
        if turn.has_slot.is_set():
            self.give_back(turn)
        else:
            self._line.remove(turn)
            self._cost_ms -= turn.cost_ms

    def give_back(self, turn: Turn) -> None:
        self._running -= 1
        self._bytes -= turn.size_bytes
        self._cost_ms -= turn.cost_ms
        if self._shared is not None and turn.shared_slot is not None:
            self._shared.give_back(turn.shared_slot)
        self._hand_over()

    def _hand_over(self) -> None:
        """Slots go to the first in line: with a plain semaphore whoever gives one back takes it again."""
        while self._line and self._running < self._slots and self._has_room(self._line[0]):
            self._hand(self._shared.take() if self._shared is not None else None)
        if self._line and self._shared is not None and not self._is_borrowing:
            self._is_borrowing = True
            gevent.spawn(self._borrow, self._shared)

    def _hand(self, shared_slot: int | None) -> None:
        turn = self._line.popleft()
        turn.shared_slot = shared_slot
        self._running += 1
        self._bytes += turn.size_bytes
        turn.has_slot.set()

    def _borrow(self, shared: SharedSlots) -> None:
        """In a greenlet, as long as somebody waits."""
        while self._line:
            gevent.sleep(BORROW_S)
            if self._line and self._has_room(self._line[0]) and (slot := shared.take()) is not None:
                self._hand(slot)
        self._is_borrowing = False

    def _has_room(self, turn: Turn) -> bool:
        return not self._running or self._bytes + turn.size_bytes <= self._max_bytes


def _guarded(call: Callable[[], T], niceness: int) -> "Guarded[T]":
    """In the native thread: an exception crosses as a value, or gevent would print its traceback."""
    try:
        if niceness > os.getpriority(os.PRIO_PROCESS, 0):  # 0: on Linux the calling thread; nobody may go back
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
        return call(), None
    except Exception as error:
        return None, error


class Lanes:
    """The threads of one process."""

    def __init__(self, inline_slots: int, decoded_bytes: float = float("inf"),
                 shared: SharedSlots | None = None) -> None:
        self.quick = Lane(inline_slots, shared=shared)
        self.long = Lane(inline_slots, LOW_PRIORITY, decoded_bytes)
        self.intake = Lane(INTAKE_THREADS)
        self.models = Lane(1, LOADING_PRIORITY)

    def off_hub(self, size_bytes: int, call: Callable[[], T]) -> T:
        """Run a call that takes time by the size of its input where it does not hold up the hub."""
        return self.intake.run(call)[0] if size_bytes > HUB_BYTES else call()

    def start(self) -> None:
        for lane in (self.quick, self.long, self.intake, self.models):
            lane.start()
