"""Locks between the processes of a test run, on files that are there anyway."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    """`kind` is fcntl's LOCK_EX for who has to be alone, LOCK_SH for the others."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
        yield
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for processes that a test forked
    finally:
        os.close(descriptor)
