"""The predictors of one generation: forked, counted, and replaced when they die."""

import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from predictors.deaths import Deaths
from predictors.library_output import LAST_WORDS_BYTES, LibraryOutput

log = logging.getLogger(__name__)
PAUSE_S = 1.0  # before a predictor is forked again that died before it was ready
Refusal = Mapping[str, str]  # of a model that could not be loaded: `fingerprint` and `reason`
SayReady = Callable[[Sequence[Refusal]], None]


@dataclass(frozen=True)
class Child:
    """One predictor. Its name is told to its askers."""

    group: str
    name: str
    output: LibraryOutput = field(default_factory=LibraryOutput)


class Children:
    """`live` is a predictor's life, in its own process; it is given what tells that the predictor is ready, and which
    models it could not load. They are collected in `refused`."""

    def __init__(self, counts: Mapping[str, int], live: Callable[[Child, SayReady], None], deaths: Deaths) -> None:
        self._counts, self._live, self._deaths = counts, live, deaths
        self._running: dict[int, Child] = {}
        self._unready: set[int] = set()
        self._not_before: dict[str, float] = {}
        self.pipe, self._tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.are_ending = False
        self.refused: list[Refusal] = []

    @property
    def are_ready(self) -> bool:
        """Whether there are as many as there should be, and each can accept questions."""
        return not self._unready and len(self._running) == sum(self._counts.values())

    @property
    def have_ended(self) -> bool:
        return self.are_ending and not self._running

    def fill(self) -> None:
        """Fork what is missing of each group."""
        if self.are_ending:
            return
        running = [child.group for child in self._running.values()]
        for group, count in self._counts.items():
            for _ in range(count - running.count(group)):
                if time.monotonic() >= self._not_before.get(group, 0.0):
                    self._fork(Child(group, f"{group}-{time.monotonic_ns()}"))

    def reap(self) -> None:
        """Note who has ended, and how; also children that are no predictors."""
        while (ended := _ended_child()) is not None:
            pid, status = ended
            child = self._running.pop(pid, None)
            if child is not None:
                child.output.log_for(f"predictor {child.name}", LAST_WORDS_BYTES)
                child.output.close()
            if child is not None and not (self.are_ending and status == 0):
                self._deaths.note(child.name, status, pid, is_replaced=not self.are_ending)
                if pid in self._unready:
                    self._not_before[child.group] = time.monotonic() + PAUSE_S
            self._unready.discard(pid)
        self._deaths.look()

    def note_ready(self) -> None:
        """Read from `pipe` who has become ready."""
        for told in map(json.loads, os.read(self.pipe, 1 << 16).splitlines()):
            if isinstance(told, int):
                self._unready.discard(told)
            else:
                self.refused.append(told)

    def end(self) -> None:
        """Let each predictor end after the answer that it is about. To be repeated: a signal that a process gets
        before it listens to signals is lost."""
        self.are_ending = True
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)

    def close(self) -> None:
        """In a process that was forked from this one and has nothing to do with its predictors."""
        for child in self._running.values():
            child.output.close()
        os.close(self.pipe)
        os.close(self._tell)

    def _fork(self, child: Child) -> None:
        try:
            pid = os.fork()
        except OSError as error:  # no more processes, or no memory, just now
            log.error("a predictor cannot be forked: %s", error)
            self._not_before[child.group] = time.monotonic() + PAUSE_S
            return
        if pid == 0:
            child.output.capture()
            run_and_exit(lambda: self._live(child, self._say_ready))
        self._running[pid] = child
        self._unready.add(pid)

    def _say_ready(self, refused: Sequence[Refusal]) -> None:
        """A line each, which a pipe keeps whole."""
        for line in (*refused, os.getpid()):
            os.write(self._tell, json.dumps(line).encode() + b"\n")


def run_and_exit(life: Callable[[], None]) -> NoReturn:
    """A forked process's life. It never returns into what its parent was about."""
    status = 1
    try:
        life()
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 0
    except BaseException:  # told, and then the process ends, whatever it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _ended_child() -> tuple[int, int] | None:
    """Pid and exit code, or signal below 0, of one child that has ended."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None
