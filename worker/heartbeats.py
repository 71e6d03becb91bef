"""Heartbeats of what a worker runs: one thread, however many jobs run one after the other."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Heartbeats(Generic[T]):
    """`beat` is called every so many seconds with what runs, never while nothing runs, and never after its end."""

    def __init__(self, beat: Callable[[T], None], every_s: float) -> None:
        self._beat, self._every_s = beat, every_s
        self._lock = threading.Lock()
        self._running: T | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def of(self, running: T) -> Iterator[None]:
        """What runs inside has heartbeats. One at a time."""
        self._set(running)
        try:
            yield
        finally:
            self._set(None)

    def _set(self, running: T | None) -> None:
        """Waits for a heartbeat that is under way."""
        with self._lock:
            self._running = running
        if self._thread is None or not self._thread.is_alive():  # an error ends it, which threading tells
            self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(self._every_s)
            with self._lock:
                if self._running is not None:
                    self._beat(self._running)
