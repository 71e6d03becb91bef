"""Jobs give way to inline work: by a low priority, by computing only where nobody else wants a core as long as that is
enough of one, and by offering that core to others all the while.

The priority alone does not do it. Where a quick thread has used up its slice, or anything else woke on its core, Linux
lets a job in until the next tick, 4 ms at HZ=250, however low its priority is. A timer that has the job call
sched_yield(2) meanwhile ends that early, also in the middle of native code. And Linux counts a core as free, for a
thread that wakes, only where it runs nothing or nothing but SCHED_IDLE.
"""

import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import TypeVar

from inference.runner import runner

T = TypeVar("T")
# docs/architecture.md, "Priorities", has what jobs keep and what each setting did to the tail of quick requests.
NICENESS = 12
OFFER_S = 0.0005
LOOK_S = 0.25  # between two looks at the share of a core that the job gets
LEAST_SHARE = 0.2  # of a core: a job that gets less stops giving way, but for its low priority
AMPLE_SHARE = 0.5  # with so much it begins again
OFFER = signal.SIGRTMIN + 6  # the first ones are the C library's and, by habit, other programs'
CLOCK_MONOTONIC = 1
SIGEV_THREAD_ID = 4  # Linux: the signal goes to the thread that is named
log = logging.getLogger(__name__)


class _SigEvent(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signo", ctypes.c_int), ("notify", ctypes.c_int),
                ("thread", ctypes.c_int), ("_padding", ctypes.c_int * 12)]


class _Times(ctypes.Structure):
    """struct itimerspec."""

    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "first_s", "first_ns")]


_libc = ctypes.CDLL(None, use_errno=True)
# Before glibc 2.34 a library of its own.
_timers = _libc if hasattr(_libc, "timer_create") else ctypes.CDLL("librt.so.1", use_errno=True)
_timers.timer_settime.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Times), ctypes.c_void_p]
_timers.timer_delete.argtypes = [ctypes.c_void_p]
_libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
_libc.signal.restype = ctypes.c_void_p


class Offers:
    """A timer by which one thread offers its core to others every OFFER_S; off until it is switched on."""

    def __init__(self, thread: int) -> None:
        """Raises OSError: no timer is left, there is a limit to them."""
        # The handler is sched_yield itself: one of Python's would wait until the native code has ended.
        _libc.signal(OFFER, ctypes.cast(_libc.sched_yield, ctypes.c_void_p))
        event = _SigEvent(signo=OFFER, notify=SIGEV_THREAD_ID, thread=thread)
        self._timer = ctypes.c_void_p()
        if _timers.timer_create(CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def switch(self, on: bool) -> None:
        nanoseconds = round(OFFER_S * 1e9) if on else 0
        _timers.timer_settime(self._timer, 0, ctypes.byref(_Times(0, nanoseconds, 0, nanoseconds)), None)

    def close(self) -> None:
        _timers.timer_delete(self._timer)


class GivingWay:
    """A Runner for one job: what it is given runs in a thread of policy SCHED_IDLE, and all threads of the job offer
    their core. Where this leaves the process too little of a core it does neither: who only takes what nobody wants,
    and offers even that, starves beside clients who take all they can."""

    def __init__(self, idle: Executor, all_offers: Sequence[Offers]) -> None:
        self._idle, self._all_offers = idle, all_offers
        self._gets_enough, self._ended = True, threading.Event()
        self._watch = threading.Thread(target=self._look_on, name="giving way", daemon=True)
        self._watch.start()

    def run(self, call: Callable[[], T]) -> T:
        return self._idle.submit(call).result() if self._gets_enough else call()

    def core_s(self) -> float:
        return time.process_time()

    def end(self) -> None:
        self._ended.set()
        self._watch.join()

    def _look_on(self) -> None:
        used_s, at = time.process_time(), time.monotonic()
        self._go_on(True)
        while not self._ended.wait(LOOK_S):
            used_now_s, now = time.process_time(), time.monotonic()
            wanted = LEAST_SHARE if self._gets_enough else AMPLE_SHARE
            self._go_on(used_now_s - used_s >= wanted * (now - at))
            used_s, at = used_now_s, now

    def _go_on(self, gets_enough: bool) -> None:
        self._gets_enough = gets_enough
        for offers in self._all_offers:
            offers.switch(gets_enough)


@contextmanager
def giving_way() -> Iterator[None]:
    """What the calling thread computes inside gives way to others."""
    with ExitStack() as stack:
        try:
            _begin(stack)
        except OSError as error:
            log.warning("a job gives way to quick work by its priority only: %s", error)
        yield


def _begin(stack: ExitStack) -> None:
    """Raises OSError."""
    idle = stack.enter_context(ThreadPoolExecutor(1, "idle"))
    threads = threading.get_native_id(), idle.submit(_become_idle).result()
    way = GivingWay(idle, [stack.enter_context(closing(Offers(thread))) for thread in threads])
    stack.callback(way.end)
    stack.callback(runner.reset, runner.set(way))


def _become_idle() -> int:
    """For good: taking this policy back needs a privilege. Returns the thread's id."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    return threading.get_native_id()
