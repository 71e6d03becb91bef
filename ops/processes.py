"""The processes of one instance, found by the mark that start.py gives them, whoever their parent is now."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from settings import PREFIX

MARK = f"{PREFIX}SUPERVISED"  # = the state folder; inherited by all that supervisord starts
POLL_S = 0.05


@contextlib.contextmanager
def control_lock(state_dir: Path) -> Iterator[None]:
    """One start or stop of an instance at a time. Raises OSError."""
    # Not for writing: a disk that is read-only by now keeps nobody from stopping the service.
    descriptor = os.open(state_dir / "control.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def marked(state_dir: Path) -> list[int]:
    """Pids of this instance's processes: supervisord and all below it."""
    mark = f"{MARK}={state_dir}".encode()
    return [int(entry.name) for entry in Path("/proc").iterdir()
            if entry.name.isdecimal() and int(entry.name) != os.getpid() and mark in _read(entry / "environ")]


def running(module: str, pids: Iterable[int]) -> list[int]:
    """Those that run this module of Python."""
    return [pid for pid in pids if module.encode() in _read(Path(f"/proc/{pid}/cmdline"))]


def end(pids: Iterable[int]) -> None:
    """Ask them to end in order."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_gone(state_dir: Path, timeout_s: float, only: int | None = None) -> bool:
    """Whether all processes of the instance, or `only` that one, ended in time."""
    deadline = time.monotonic() + timeout_s
    while (left := marked(state_dir)) and (only is None or only in left):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _read(file: Path) -> list[bytes]:
    """The strings of one of the kernel's files about a process."""
    with contextlib.suppress(OSError):  # ended meanwhile, a zombie, or another user's
        return file.read_bytes().split(b"\0")
    return []
