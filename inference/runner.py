"""Where the steps of a prediction run that take time: in its own thread, unless its caller knows a better one."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Runner(Protocol):
    def run(self, call: Callable[[], T]) -> T:
        """Run `call` to its end. Raises what it raises."""

    def core_s(self) -> float:
        """Seconds of a core that the calling thread and the calls run here have used, from whenever."""


class InCallersThread:
    def run(self, call: Callable[[], T]) -> T:
        return call()

    def core_s(self) -> float:
        return time.thread_time()


IN_CALLERS_THREAD = InCallersThread()
runner: ContextVar[Runner] = ContextVar("runner", default=IN_CALLERS_THREAD)
