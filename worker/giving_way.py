"""Slow work gives way to quick work: by a low priority, by computing only where nobody else wants a core as long as
that is enough of one, and by offering that core to others all the while.

The priority alone does not do it. Where a quick thread has used up its slice, or anything else woke on its core, Linux
lets slow work in until the next tick, 4 ms at HZ=250, however low its priority is. A timer that has it call
sched_yield(2) meanwhile ends that early, also in the middle of native code. And Linux counts a core as free, for a
thread that wakes, only where it runs nothing or nothing but SCHED_IDLE.
"""

import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from inference.runner import runner

T = TypeVar("T")
# docs/architecture.md, "Priorities", has what slow work keeps and what each setting did to the tail of quick requests.
NICENESS = 12
OFFER_S = 0.0005
LOOK_S = 0.25  # between two looks at the share of a core that it gets
LEAST_SHARE = 0.2  # of a core: who gets less stops giving way, but for its low priority
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


class ByPriority:
    """What a process does by itself: it has a low priority."""

    @contextmanager
    def working(self) -> Iterator[None]:
        yield


class GivingWay:
    """How one process works, for its life: while it does, it is the Runner of the thread that made it. What it is given
    runs in a thread of policy SCHED_IDLE, which offers its core. Where this leaves the process too little
    of a core it does neither: who only takes what nobody wants, and offers even that, starves beside clients who take
    all they can."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._idle = ThreadPoolExecutor(1, "idle")
        self._offers = Offers(self._idle.submit(_become_idle).result())
        self._last = _done()
        self._gets_enough, self._at_work, self._lock = True, threading.Event(), threading.Lock()
        self._share, self._counted_at = Share(), Clocks.now()
        threading.Thread(target=self._look_on, name="giving way", daemon=True).start()

    @contextmanager
    def working(self) -> Iterator[None]:
        """What the calling thread computes inside gives way to others."""
        before = runner.set(self)
        self._begin()
        try:
            yield
        finally:
            self._end()
            runner.reset(before)

    def run(self, call: Callable[[], T]) -> T:
        if not self._gets_enough:
            return call()
        self._last = self._idle.submit(call)
        return self._last.result()

    def core_s(self) -> float:
        return time.process_time()

    def _begin(self) -> None:
        with self._lock:
            self._counted_at = Clocks.now()
            self._at_work.set()
            self._switch_offers()

    def _end(self) -> None:
        """Also of a call that was left by an alarm: the next work would wait for it."""
        wait([self._last])
        self._last = _done()  # nor hold its result
        with self._lock:
            self._count()
            self._at_work.clear()
            self._switch_offers()

    def _look_on(self) -> None:
        while self._at_work.wait():
            time.sleep(LOOK_S)
            with self._lock:
                if self._at_work.is_set():
                    self._count()
                    self._switch_offers()

    def _count(self) -> None:
        now = Clocks.now()
        share = self._share.after(now.used_s - self._counted_at.used_s, now.passed_s - self._counted_at.passed_s)
        self._counted_at = now
        if share is not None:
            self._gets_enough = share >= (LEAST_SHARE if self._gets_enough else AMPLE_SHARE)

    def _switch_offers(self) -> None:
        self._offers.switch(self._gets_enough and self._at_work.is_set())


@dataclass(frozen=True)
class Clocks:
    """Seconds of a core that the process has used, and that have passed."""

    used_s: float
    passed_s: float

    @classmethod
    def now(cls) -> "Clocks":
        return cls(time.process_time(), time.monotonic())


class Share:
    """Of a core, in each LOOK_S of work: one prediction's, or several short ones' together."""

    def __init__(self) -> None:
        self._used_s = self._passed_s = 0.0

    def after(self, used_s: float, passed_s: float) -> float | None:
        """With so much more of it; None where it is too early to tell."""
        self._used_s, self._passed_s = self._used_s + used_s, self._passed_s + passed_s
        if self._passed_s < LOOK_S:
            return None
        share = self._used_s / self._passed_s
        self._used_s = self._passed_s = 0.0
        return share


def _done() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(None)
    return future


def giving_way() -> GivingWay | ByPriority:
    """How the calling thread, its process's only one that computes, gives way while it works."""
    try:
        return GivingWay()
    except OSError as error:
        log.warning("slow work gives way to quick work by its priority only: %s", error)
        return ByPriority()


def _become_idle() -> int:
    """For good: taking this policy back needs a privilege. Returns the thread's id."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    return threading.get_native_id()
