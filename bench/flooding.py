"""Slow work in the background: clients in processes of their own, each sending the next when it is answered."""

import gc
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier, Event

from bench.client import GOOD, TIMEOUT_S, Address, Client
from bench.stats import rate_per_s

LEAD_S = 1.0  # until a flood is under way
BEGIN_S = 60  # until its processes are there


@dataclass(frozen=True)
class Step:
    """A request, and how long to pause before it."""

    request: bytes
    pause_s: float = 0.0


@dataclass(frozen=True)
class Ended:
    """A request of a flood that was answered, by the clock that all processes of a machine share."""

    at_s: float
    status: int


@dataclass(frozen=True)
class FloodLog:
    """What a flood's clients saw."""

    answers: tuple[Ended, ...]

    def per_s(self, begin_s: float, end_s: float) -> float:
        return rate_per_s([answer.at_s for answer in self.answers if answer.status in GOOD], begin_s, end_s)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.answers)


class Flood:
    """Clients that send until they are told to stop; one plan each, from which they take the next step again and
    again."""

    def __init__(self, address: Address, plans: Sequence[Sequence[Step]]) -> None:
        context = get_context("spawn")
        self._stop, self._begun = context.Event(), context.Barrier(len(plans) + 1)
        self._pool = context.Pool(len(plans), _prepare, (self._stop, self._begun))
        self._logs = self._pool.starmap_async(_send, [(address, plan) for plan in plans], chunksize=1)

    def __enter__(self) -> "Flood":
        self._begun.wait(BEGIN_S)
        time.sleep(LEAD_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.terminate()

    def stop(self) -> FloodLog:
        """Let each client wait for its last answer."""
        self._stop.set()
        return FloodLog(tuple(answer for log in self._logs.get(TIMEOUT_S) for answer in log))


_stop: Event
_begun: Barrier


def _prepare(stop: Event, begun: Barrier) -> None:
    """In each process, once."""
    global _stop, _begun
    _stop, _begun = stop, begun
    gc.disable()


def _send(address: Address, plan: Sequence[Step]) -> list[Ended]:
    answers: list[Ended] = []
    _begun.wait(BEGIN_S)
    with Client(address) as client:
        while True:
            step = plan[len(answers) % len(plan)]
            if _stop.wait(step.pause_s):
                return answers
            client.send(step.request, time.perf_counter())
            while client.busy:
                answers += [Ended(time.perf_counter(), answer.status) for answer in client.answers(TIMEOUT_S)]
