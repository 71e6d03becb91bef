"""A question to the predictors while somebody waits for its answer: the run is called off at the deadline and when
nobody wants it any more, and told apart where it outlasts its patience."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from inference.errors import CalledOff, InferenceError, Overdue
from predictors.client import Run

T = TypeVar("T")
LOOK_S = 0.1  # between two looks whether the run is still wanted
NEVER = float("inf")


@dataclass(frozen=True)
class Attended(Generic[T]):
    """A run and how long somebody wants it. Times are of time.monotonic: when its patience is over, and when it is
    called off."""

    run: Run[T]
    is_wanted: Callable[[], bool]
    deadline: float
    patient_until: float = NEVER

    def attend(self) -> bool:
        """Wait for its end. False where it outlasts its patience: it goes on.

        Raises:
            Overdue, CalledOff: the run was called off.
        """
        while not self.run.wait(self._look_s()):
            now = time.monotonic()
            if now >= self.deadline:
                self._call_off(Overdue("it did not end in time: its caller's, or else PUNNET_JOB_TIMEOUT_S"))
            if not self.is_wanted():
                self._call_off(CalledOff("nobody waits for it any more"))
            if now >= self.patient_until:
                return False
        return True

    def result(self) -> T:
        """Wait for its end, whatever its patience was; what the run gave, or raises what it raised."""
        replace(self, patient_until=NEVER).attend()
        return self.run.result()

    def within(self, seconds: float) -> "Attended[T]":
        """The same run, with so much patience from now on."""
        return replace(self, patient_until=time.monotonic() + seconds)

    def wanted_while(self, is_wanted: Callable[[], bool]) -> "Attended[T]":
        """The same run, for somebody else."""
        return replace(self, is_wanted=is_wanted)

    def _look_s(self) -> float:
        nearest = min(self.deadline, self.patient_until) - time.monotonic()
        return max(0.0, min(LOOK_S, nearest))

    def _call_off(self, reason: InferenceError) -> None:
        self.run.call_off()
        raise reason


def seen_through(run: Run[T], connection: socket.socket | None, deadline: float) -> T:
    """What the run gives, or raises, while its caller waits at the other end of `connection`.

    Raises:
        Overdue, CalledOff: the run was called off.
    """
    try:
        return Attended(run, lambda: is_connected(connection), deadline).result()
    except BaseException:  # the end of this greenlet, too: nobody waits any more
        run.call_off()
        raise


def is_connected(connection: socket.socket | None) -> bool:
    """Whether the caller has not hung up; what he may have sent meanwhile stays where it is. True without a
    connection to look at, as in tests."""
    if connection is None:
        return True
    try:
        connection.settimeout(0.0)
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(None)
