"""Tests run two at a time; a test that is marked `alone`, because it measures time or memory, has the machine to
itself."""

import fcntl
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.locks import locked

TURN, ROOM = Path(__file__), Path(__file__).parent


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are called by their parameter's name: compressed ones may hold the time, and the processes that share the
    tests have to agree about their names."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Everything of a test, the fixtures that it starts included."""
    kind = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
    with ExitStack() as room:
        with locked(TURN, fcntl.LOCK_EX):  # who waits to be alone keeps it, so that nobody begins before
            room.enter_context(locked(ROOM, kind))
        return (yield)
