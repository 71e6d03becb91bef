"""Tests run two at a time; a test that is marked `alone`, because it measures time or memory, has the machine to
itself."""

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

TURN, ROOM = Path(__file__), Path(__file__).parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Everything of a test, the fixtures that it starts included."""
    kind = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
    with ExitStack() as room:
        with _locked(TURN, fcntl.LOCK_EX):  # who waits to be alone keeps it, so that nobody begins before
            room.enter_context(_locked(ROOM, kind))
        return (yield)


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
        yield
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for processes that a test forked
    finally:
        os.close(descriptor)
