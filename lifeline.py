"""A process that ends with its parent, so that a killed parent leaves nothing that holds a port, a file or a job."""

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
