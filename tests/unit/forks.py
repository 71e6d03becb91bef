"""Processes that tests fork from themselves."""

import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fork:
    """A forked process that has told that it is where a test wants it."""

    pid: int

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def status(self) -> int:
        """The exit code, once it has ended."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def forked(life: Callable[[Callable[[], None]], object]) -> Fork:
    """Run `life` in a forked process, and come back once it has called what it is given, or has ended. Its exit code
    is 0 unless it raised."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(ours)
            signal.alarm(30)  # whatever goes wrong, nothing of a test stays
            life(lambda: os.close(theirs))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    return Fork(pid)


def sleep_for_ever() -> None:
    while True:
        signal.pause()
