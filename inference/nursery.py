"""A process that has imported what trials need, and forks a child for each: a trial alone would import for longer than
it takes. `python -m inference.nursery` is that process.

Lines of JSON come in at its standard input, a number and the arguments of `trying.main` each; others go out: the number
and `pid`, then the number and `code`, as of `subprocess.Popen.returncode`.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from inference.trying import LIBC, MOVED, die_with, main

ROOT = Path(__file__).resolve().parent.parent
PR_SET_NAME = 15
IN, OUT, ERRORS = 0, 1, 2
LOOK_S = 0.02  # for children that ended
PATIENCE_S = 5.0  # for a child that was killed to be gone
MOST_BYTES = 1 << 16


@dataclass
class Child:
    """A trial's process: `pid` is 0 until it has begun, `code` None until it has ended. `since` is when it began, or
    was to begin."""

    pid: int = 0
    code: int | None = None
    since: float = field(default_factory=time.monotonic)
    _is_unwanted: bool = False

    def kill(self) -> None:
        """End it, and what it started; before it begins it is ended as soon as that."""
        self._is_unwanted = True
        if self.pid and self.code is None:
            _kill_group(self.pid)

    def begins(self, pid: int) -> None:
        self.pid, self.since = pid, time.monotonic()
        if self._is_unwanted:
            self.kill()


@dataclass
class Nursery:
    """The other end: it belongs to the process that wants the trials, and starts the nursery when one is wanted."""

    _process: "subprocess.Popen[bytes] | None" = None
    _unread: bytes = b""
    _children: dict[int, Child] = field(default_factory=dict)
    _count: int = 0

    def begin(self, *arguments: str) -> Child:
        """A child that tries a model."""
        if self._process is None:
            self._process = _started()
        assert self._process.stdin is not None
        self._count += 1
        child = self._children[self._count] = Child()
        with contextlib.suppress(OSError):  # it died: the next hearing tells
            self._process.stdin.write(json.dumps([self._count, *arguments]).encode() + b"\n")
        return child

    def hear(self, wait_s: float = 0.0) -> None:
        """Note which children have begun and ended since the last time."""
        pipe = None if self._process is None else self._process.stdout
        if pipe is None or not select.select([pipe], [], [], wait_s)[0]:
            return
        told = pipe.read(MOST_BYTES)
        if not told:
            self.end()
            return
        *lines, self._unread = (self._unread + told).split(b"\n")
        for line in lines:
            self._note(*json.loads(line))

    def wait(self, child: Child) -> None:
        """Until a child that was killed is gone; one that has not begun will end when it does."""
        deadline = time.monotonic() + PATIENCE_S
        while child.pid and child.code is None and self._process is not None and time.monotonic() < deadline:
            self.hear(LOOK_S)

    def end(self) -> None:
        """End the nursery. Its children end with it; they have no result, and are begun again in another one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self.leave()
        for child in self._children.values():
            child.code = MOVED
        self._process, self._children, self._unread = None, {}, b""

    def leave(self) -> None:
        """Close what only the process needs that this belongs to, as in one that was forked from it."""
        for pipe in (self._process.stdin, self._process.stdout) if self._process is not None else ():
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def _note(self, number: int, what: str, value: int) -> None:
        child = self._children[number]
        if what == "pid":
            child.begins(value)
        else:
            child.code = value
            del self._children[number]


def _started() -> "subprocess.Popen[bytes]":
    """Its pipes are not buffered, so that what was written has left and what can be read is seen."""
    return subprocess.Popen([sys.executable, "-m", "inference.nursery"], env=os.environ | {"PYTHONPATH": str(ROOT)},
                            process_group=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


# The nursery itself


def serve() -> None:
    """Fork a child for each line, until the other end is closed. What libraries print goes to the log."""
    out = os.dup(OUT)
    os.dup2(ERRORS, OUT)
    from inference import loading  # noqa: F401 - what every child needs; the other end loads no model

    LIBC.prctl(PR_SET_NAME, b"punnet-trials")
    numbers: dict[int, int] = {}  # by pid
    unread = b""
    while True:
        if select.select([IN], [], [], LOOK_S if numbers else None)[0]:
            told = os.read(IN, MOST_BYTES)
            if not told:
                return
            *lines, unread = (unread + told).split(b"\n")
            for number, *arguments in map(json.loads, lines):
                numbers[pid := _forked(arguments, out)] = number
                _tell(out, number, "pid", pid)
        for pid in list(numbers):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                _kill_group(pid)  # what it started
                _tell(out, numbers.pop(pid), "code", os.waitstatus_to_exitcode(status))


def _tell(out: int, number: int, what: str, value: int) -> None:
    os.write(out, json.dumps([number, what, value]).encode() + b"\n")


def _forked(arguments: list[str], out: int) -> int:
    """The pid of a child, in a process group of its own and without our pipes."""
    nursery = os.getpid()
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # the child did it already
            os.setpgid(pid, pid)
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        die_with(nursery)
        os.dup2(os.open(os.devnull, os.O_RDONLY), IN)
        os.close(out)
        code = main(*arguments)
    except BaseException:  # such as a hook's KeyboardInterrupt: the exit code tells
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)  # whatever threads hooks.py left


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the other end is gone
        serve()
