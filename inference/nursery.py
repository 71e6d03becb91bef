"""A process that has imported what trials need, and forks a child for each: a trial alone would import for longer than
it takes. `python -m inference.nursery DESCRIPTOR` is that process, DESCRIPTOR being its socket.

Lines of JSON go both ways: a number and the arguments of `trying.main`; the number and `pid`, then the number and
`code`, as of `subprocess.Popen.returncode`.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from inference.trying import LIBC, MOVED, die_with, main

ROOT = Path(__file__).resolve().parent.parent
PR_SET_NAME = 15
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
    _channel: socket.socket | None = None
    _unread: bytes = b""
    _children: dict[int, Child] = field(default_factory=dict)
    _count: int = 0

    def begin(self, *arguments: str) -> Child:
        """A child that tries a model."""
        if self._channel is None:
            self._start()
        assert self._channel is not None
        self._count += 1
        child = self._children[self._count] = Child()
        with contextlib.suppress(OSError):  # it died: the next hearing tells
            self._channel.sendall(json.dumps([self._count, *arguments]).encode() + b"\n")
        return child

    def hear(self, wait_s: float = 0.0) -> None:
        """Note which children have begun and ended since the last time."""
        if self._channel is None or not select.select([self._channel], [], [], wait_s)[0]:
            return
        told = _received(self._channel)
        if not told:
            self._lose()
            return
        *lines, self._unread = (self._unread + told).split(b"\n")
        for line in lines:
            self._note(*json.loads(line))

    def wait(self, child: Child) -> None:
        """Until a child that was killed is gone; one that has not begun will end when it does."""
        deadline = time.monotonic() + PATIENCE_S
        while child.pid and child.code is None and self._channel is not None and time.monotonic() < deadline:
            self.hear(LOOK_S)

    def end(self) -> None:
        """End the nursery; its children end with it."""
        if self._channel is not None and self._process is not None:
            self._process.kill()
            self._process.wait()
            self._lose()

    def leave(self) -> None:
        """In a process that was forked from the one that this belongs to."""
        if self._channel is not None:
            self._channel.close()

    def _start(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "inference.nursery", str(theirs.fileno())]
            self._process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, process_group=0,
                                             pass_fds=[theirs.fileno()])

    def _note(self, number: int, what: str, value: int) -> None:
        child = self._children[number]
        if what == "pid":
            child.begins(value)
        else:
            child.code = value
            del self._children[number]

    def _lose(self) -> None:
        """The nursery is gone: its children have no result, and are begun again in another one."""
        for child in self._children.values():
            child.code = MOVED
        if self._channel is not None:
            self._channel.close()
        self._children, self._channel, self._unread = {}, None, b""


def _received(channel: socket.socket) -> bytes:
    """Nothing where the other end is gone."""
    try:
        return channel.recv(MOST_BYTES)
    except OSError:
        return b""


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


# The nursery itself


def serve(channel: socket.socket) -> None:
    """Fork a child for each line, until the other end is closed."""
    from inference import loading  # noqa: F401 - what every child needs; the other end loads no model

    LIBC.prctl(PR_SET_NAME, b"punnet-trials")
    numbers: dict[int, int] = {}  # by pid
    unread = b""
    while True:
        if select.select([channel], [], [], LOOK_S if numbers else None)[0]:
            told = _received(channel)
            if not told:
                return
            *lines, unread = (unread + told).split(b"\n")
            for number, *arguments in map(json.loads, lines):
                numbers[_forked(channel, arguments)] = number
                _tell(channel, number, "pid", next(reversed(numbers)))
        for pid in list(numbers):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                _kill_group(pid)  # what it started
                _tell(channel, numbers.pop(pid), "code", os.waitstatus_to_exitcode(status))


def _tell(channel: socket.socket, number: int, what: str, value: int) -> None:
    channel.sendall(json.dumps([number, what, value]).encode() + b"\n")


def _forked(channel: socket.socket, arguments: list[str]) -> int:
    """The pid of a child, in a process group of its own."""
    nursery = os.getpid()
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # the child did it already
            os.setpgid(pid, pid)
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        channel.close()
        die_with(nursery)
        code = main(*arguments)
    except BaseException:  # such as a hook's KeyboardInterrupt: the exit code tells
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)  # whatever threads hooks.py left


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
