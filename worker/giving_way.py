"""Jobs give way to inline work: by a low priority, and by offering their core to others while they compute.

The priority alone does not do it. Where a quick thread has used up its slice, or anything else woke on its core, Linux
lets a job in until the next tick, 4 ms at HZ=250, however low its priority is. A timer that has the job call
sched_yield(2) meanwhile ends that early, also in the middle of native code.
"""

import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# docs/architecture.md, "Priorities", has what jobs keep and what each setting did to the tail of quick requests.
NICENESS = 15
OFFER_S = 0.0005
LOOK_S = 0.25  # between two looks at the share of a core that the job gets
LEAST_SHARE = 0.5  # of a core: below it nothing is offered
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


@contextmanager
def offering_core() -> Iterator[None]:
    """The calling thread offers its core to others every OFFER_S while it is inside, as long as it gets enough of one.
    Without such timers (there is a limit to them) it runs without."""
    try:
        timer = _new_timer()
    except OSError as error:
        log.warning("a job runs without offering its core to quick work: %s", error)
        yield
        return
    ended = threading.Event()
    clock = time.pthread_getcpuclockid(threading.get_ident())
    watch = threading.Thread(target=_offer, args=(timer, clock, ended), name="offers", daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()
        _timers.timer_delete(timer)


def _offer(timer: ctypes.c_void_p, clock: int, ended: threading.Event) -> None:
    """Offer until `ended`, but not where the thread of this clock would starve: who offers a core that others always
    want gives away its own share too."""
    used_s, at = time.clock_gettime(clock), time.monotonic()
    _repeat(timer, OFFER_S)
    while not ended.wait(LOOK_S):
        used_now_s, now = time.clock_gettime(clock), time.monotonic()
        _repeat(timer, OFFER_S if used_now_s - used_s >= LEAST_SHARE * (now - at) else 0.0)
        used_s, at = used_now_s, now


def _new_timer() -> ctypes.c_void_p:
    """The handler is sched_yield itself: one of Python's would wait until the native code has ended."""
    _libc.signal(OFFER, ctypes.cast(_libc.sched_yield, ctypes.c_void_p))
    event = _SigEvent(signo=OFFER, notify=SIGEV_THREAD_ID, thread=threading.get_native_id())
    timer = ctypes.c_void_p()
    if _timers.timer_create(CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return timer


def _repeat(timer: ctypes.c_void_p, every_s: float) -> None:
    """0 stops it."""
    nanoseconds = round(every_s * 1e9)
    _timers.timer_settime(timer, 0, ctypes.byref(_Times(0, nanoseconds, 0, nanoseconds)), None)
