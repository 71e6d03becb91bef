"""Native threads for what would hold up the event loop: file reads, large texts, long headers. The only import of
gevent.

Values go in and values come out: nothing of gevent's is touched outside the event loop.
"""

from collections.abc import Callable
from typing import TypeVar

from gevent.threadpool import ThreadPool

T = TypeVar("T")
THREADS = 2
# Parsing fewer bytes than this costs less than the way to a thread and back.
LOOP_BYTES = 1 << 16


class Intake:
    """The threads of one web process."""

    def __init__(self) -> None:
        self._threads: ThreadPool | None = None

    def start(self) -> None:
        """Make the threads' pool; after a fork, never before."""
        self._threads = ThreadPool(THREADS)

    def run(self, call: Callable[[], T]) -> T:
        """Run `call` in a native thread; raises what it raises."""
        assert self._threads is not None, "start() comes first"
        value, error = self._threads.apply(_guarded, (call,))
        if error is not None:
            raise error
        return value

    def off_loop(self, size_bytes: int, call: Callable[[], T]) -> T:
        """Run a call that takes time by the size of its input where it does not hold up the event loop."""
        return self.run(call) if size_bytes > LOOP_BYTES else call()


def _guarded(call: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """An exception crosses as a value: gevent would print its traceback."""
    try:
        return call(), None
    except Exception as error:
        return None, error
