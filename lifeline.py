"""A process that ends with its parent, so that a killed parent leaves nothing that holds a port, a file or a job; and
what an end is called in the logs."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent dies. Survives an exec, not a fork."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the call
        os._exit(1)


def show_as(name: str) -> None:
    """What `ps -o comm` shows of this process: at most 15 bytes."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())


def end_in_words(status: int) -> str:
    """How a process ended: its exit code, or below 0 the signal that killed it."""
    if status >= 0:
        return f"ended with exit code {status}"
    return f"was killed by {signal_name(-status)}"


def signal_name(number: int) -> str:
    """Some of the real-time signals have no name."""
    return next((one.name for one in signal.Signals if one == number), f"signal {number}")
