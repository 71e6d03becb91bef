"""An inline prediction while its caller waits: it is ended at the caller's deadline or hang-up, and told where it
outlasts its patience."""

import socket
import time
from dataclasses import dataclass, replace

from api.lanes import Turn
from inference.errors import InferenceError, Overdue, Stopped
from inference.model import Prediction
from inference.stop import Stop

LOOK_S = 0.1  # between two looks at the caller's connection
NEVER = float("inf")


@dataclass(frozen=True)
class InlineRun:
    """A prediction in its lane. Times are of time.perf_counter: when it has had its patience, and when it is
    ended."""

    turn: Turn[Prediction]
    stop: Stop
    patient_until: float
    deadline: float = NEVER
    connection: socket.socket | None = None

    def attend(self) -> bool:
        """Wait for its end. False where it outlasts its patience: it goes on.

        Raises:
            Overdue, Stopped: it was ended, or never begun.
        """
        while not self.turn.wait(self._look_s()):
            now = time.perf_counter()
            if now >= self.deadline:
                self._end(Overdue("it did not end in time: its caller's, or else PUNNET_JOB_TIMEOUT_S"))
            if self.connection is not None and has_hung_up(self.connection):
                self._end(Stopped("the caller hung up"))
            if now >= self.patient_until:
                return False
        return True

    def within(self, seconds: float) -> "InlineRun":
        """The same, with so much patience from now on."""
        return replace(self, patient_until=time.perf_counter() + seconds)

    def detached(self) -> "InlineRun":
        """The same, without a caller who could hang up."""
        return replace(self, connection=None)

    def _look_s(self) -> float:
        nearest = min(self.deadline, self.patient_until) - time.perf_counter()
        return max(0.0, min(LOOK_S, nearest))

    def _end(self, reason: InferenceError) -> None:
        """The slot comes back when the native call has ended, which is soon."""
        if not self.turn.withdraw():
            self.stop.end(reason)
        raise reason


def has_hung_up(connection: socket.socket) -> bool:
    """Whether the other side has closed; what it may have sent meanwhile stays where it is."""
    try:
        connection.settimeout(0.0)
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(None)
