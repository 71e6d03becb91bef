"""When no more work is taken: the service is being stopped."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from api.problems import Draining
from state_dir import LEAVING, StateDir

LOOK_S = 0.1


class Drain:
    """Whether the service is being stopped, by a file that `stop.sh` makes: when gunicorn gets its signal, no hook of
    ours runs before its port is closed. A file too tells `stop.sh` that this process has nothing left to answer."""

    def __init__(self, state: StateDir, end_waits: Callable[[], None]) -> None:
        """`end_waits` is called when draining begins: it lets the waiting callers go."""
        self._state, self._end_waits = state, end_waits
        self.leaving = self.active = False
        self.open_work = 0

    def count(self, more: int) -> None:
        """Count open work: requests, and promoted runs, which go on without a request."""
        self.open_work += more

    def check(self) -> None:
        """Raises Draining where no new work is taken."""
        if self.active:
            raise Draining("the service is being stopped; try again in a few seconds")

    def check_ready(self) -> None:
        """Raises Draining where no new work should be sent, though it may still be taken: a proxy has to notice."""
        if self.leaving:
            raise Draining("the service is about to be stopped: send requests elsewhere")
        self.check()

    def start(self, is_staying: Callable[[], bool] = lambda: True) -> None:
        """Look for the file in a thread; after a fork, never before. `is_staying` turns false where gunicorn replaces
        this process alone: who waits is let go then too."""
        threading.Thread(target=self._watch, args=(is_staying,), name="drain", daemon=True).start()

    def _watch(self, is_staying: Callable[[], bool]) -> None:
        while not self._state.draining.exists():
            if not is_staying():
                self._end_waits()
            time.sleep(LOOK_S)
        self.leaving = True
        while _text(self._state.draining) == LEAVING:
            time.sleep(LOOK_S)
        self.active = True
        self._end_waits()
        while self.open_work:
            time.sleep(LOOK_S)
        self._state.drained.mkdir(exist_ok=True)
        (self._state.drained / str(os.getpid())).touch()


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:  # the state folder was deleted
        return ""
