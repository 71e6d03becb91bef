"""Calls a prediction off when its asker closes the connection, also in the middle of native code."""

import logging
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from inference.call_off import CallOff
from inference.errors import CalledOff

# A run that was called off ends at its next step; one that does not, in a loop of hooks.py, costs its process.
ENDING_S = 5.0
log = logging.getLogger(__name__)


@dataclass
class _Watched:
    connection: socket.socket
    call_off: CallOff = field(default_factory=CallOff)
    ended: threading.Event = field(default_factory=threading.Event)


class HangUps:
    """One thread, which sleeps in epoll: a connection that is not closed early costs two system calls, no wake-up."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._lock = threading.Lock()
        self._watched: _Watched | None = None
        threading.Thread(target=self._watch, name="hang-ups", daemon=True).start()

    @contextmanager
    def watched(self, connection: socket.socket) -> Iterator[CallOff]:
        """What runs inside is called off when the other side closes. One at a time."""
        watched = _Watched(connection)
        with self._lock:
            self._watched = watched
        self._epoll.register(connection, select.EPOLLRDHUP | select.EPOLLONESHOT)
        try:
            yield watched.call_off
        finally:
            with self._lock:
                self._watched = None
            watched.ended.set()
            self._epoll.unregister(connection)

    def _watch(self) -> None:
        while True:
            self._epoll.poll()
            hung_up = self._hung_up()
            if hung_up is not None:
                self._call_off(hung_up)

    def _hung_up(self) -> _Watched | None:
        """What epoll told may be of a connection that was served meanwhile, and its number another's by now. Under the
        lock nobody closes the connection that is looked at."""
        with self._lock:
            watched = self._watched
            return watched if watched is not None and has_closed(watched.connection) else None

    def _call_off(self, watched: _Watched) -> None:
        watched.call_off.now(CalledOff("the asker has called it off"))
        if not watched.ended.wait(ENDING_S):
            log.error("a prediction that was called off goes on: its process is ended")
            os._exit(1)


def has_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed; it sends nothing behind its question."""
    with suppress(BlockingIOError):
        try:
            return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except ConnectionError:
            return True
    return False
