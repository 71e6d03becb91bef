"""Slow work in the background: clients that send the next image when the one before is answered."""

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench import images
from bench.client import GOOD, Address, Connection, others
from bench.peers.models import DETECTOR, QUICK
from bench.servers import Contender
from bench.stats import rate_per_s

CLIENTS = 4
TWELVE, FIFTY = (4000, 3000), (8660, 5773)
MIX_MEGAPIXELS = (2, 5, 12, 20, 36, 50)
MIX_STEPS = 10  # of each client, which sends them again and again
MIX_PAUSE_S = 0.3  # on average
MIX_SEED = 7
LEAD_S = 1.0  # until a flood is under way


@dataclass(frozen=True)
class Step:
    """A request, and how long to pause before it."""

    request: bytes
    pause_s: float = 0.0


Plan = Sequence[Step]  # of one client


def long_plans(server: Contender) -> list[Plan]:
    """12 megapixels without tiles: slow, and answered inline."""
    return same_plans(server, TWELVE, CLIENTS, tile="0")


def job_plans(server: Contender) -> list[Plan]:
    """50 megapixels in tiles: jobs."""
    return same_plans(server, FIFTY, CLIENTS)


def mixed_plans(server: Contender) -> list[Plan]:
    drawn = random.Random(MIX_SEED)
    return [[_drawn(server, drawn) for _ in range(MIX_STEPS)] for _ in range(CLIENTS)]


PLANS = {"long": long_plans, "jobs": job_plans, "mix": mixed_plans}


def same_plans(server: Contender, size: images.Size, clients: int, **fields: str) -> list[Plan]:
    """Each client sends images of one size to the detector, and begins with another one of them."""
    steps = [Step(server.request(DETECTOR, image, {"mode": "sync", **fields})) for image in images.photographs(size)]
    return [steps[turn % len(steps):] + steps[:turn % len(steps)] for turn in range(clients)]


def _drawn(server: Contender, drawn: random.Random) -> Step:
    image = images.photograph(images.frame(drawn.choice(MIX_MEGAPIXELS)))
    fields = {"mode": "sync", "tile": drawn.choice(("0", "640"))}
    return Step(server.request(drawn.choice((QUICK, DETECTOR)), image, fields), drawn.expovariate(1 / MIX_PAUSE_S))


@dataclass(frozen=True)
class FloodLog:
    """What a flood's clients saw: when each answer came, and its status."""

    ends: Sequence[tuple[float, int]]

    @property
    def good_s(self) -> list[float]:
        return [at_s for at_s, status in self.ends if status in GOOD]

    @property
    def others(self) -> Counter[str]:
        return others(status for _, status in self.ends)

    def per_s(self, begin_s: float, end_s: float) -> float:
        return rate_per_s(self.good_s, begin_s, end_s)


class Flood:
    """Clients that send until they are told to stop; each takes the steps of its plan again and again."""

    def __init__(self, address: Address, plans: Sequence[Plan]) -> None:
        self._address, self._stop = address, threading.Event()
        self._threads = ThreadPoolExecutor(len(plans))
        self._ends = [self._threads.submit(self._send, plan) for plan in plans]

    def __enter__(self) -> "Flood":
        time.sleep(LEAD_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown()

    def stop(self) -> FloodLog:
        """Let each client wait for its last answer."""
        self._stop.set()
        return FloodLog([end for ends in self._ends for end in ends.result()])

    def _send(self, plan: Plan) -> list[tuple[float, int]]:
        ends: list[tuple[float, int]] = []
        with contextlib.closing(Connection(self._address)) as connection:
            for step in itertools.cycle(plan):
                if self._stop.wait(step.pause_s):
                    return ends
                status = connection.ask(step.request, time.perf_counter()).status
                ends.append((time.perf_counter(), status))
        return ends
