"""What is asked for, and whether an answer is right: as it is when nothing dies."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.integration.images import leaf, photograph, white
from tests.integration.server import Server, wait_until

ENDED = ("succeeded", "failed", "canceled")
SLOW_MODEL, SLOW_S = "slow", 1.0  # on a white image; on others it is quick
TOLERANCE = 1e-3  # tiles are merged in the order in which they come


@dataclass(frozen=True)
class Kind:
    """One sort of job. `outlasts`: it is asked for inline, and takes longer than was predicted."""

    name: str
    share: float
    image: bytes = field(repr=False)
    model: str
    fields: Mapping[str, str] = field(default_factory=lambda: {"mode": "async"})
    events: str = ""  # of its webhook, where it has one
    outlasts: bool = False
    canceled: bool = False


KINDS = (
    Kind("quick", 0.4, leaf(), "strawberry", events="completed"),
    Kind("whole", 0.15, photograph(9), "strawberry", events="start,completed"),
    Kind("tiled", 0.25, leaf(900), "strawberry-fruit", events="start,progress,completed"),
    Kind("outlasting", 0.05, white(), SLOW_MODEL, fields={}, outlasts=True),
    Kind("refused", 0.05, leaf()[:2000], "strawberry", events="completed"),
    Kind("canceled", 0.1, leaf(900), "strawberry-fruit", events="completed", canceled=True),
)


def draw(drawn: random.Random) -> Kind:
    return drawn.choices(KINDS, [kind.share for kind in KINDS])[0]


@dataclass(frozen=True)
class Right:
    """How a job of a kind may end."""

    states: tuple[str, ...]
    status: int
    result: Any

    def complaint(self, job: Mapping[str, Any]) -> str:
        """What is wrong with an ended job; "" where nothing is."""
        if job["state"] == "canceled" and "canceled" in self.states:
            return ""
        if job["state"] not in self.states or job["status"] != self.status:
            return f"ended as {job['state']}, {job['status']}: {job.get('error')}"
        return "" if same(job.get("result"), self.result) else f"another result: {str(job.get('result'))[:200]}"


def rights(server: Server) -> dict[str, Right]:
    """Asked while nothing dies."""
    wait_until(lambda: all(model["state"] == "ready" for model in server.get("/models").json["models"]) or None, 120)
    return {kind.name: _right(server, kind) for kind in KINDS}


def _right(server: Server, kind: Kind) -> Right:
    answer = server.predict(kind.image, kind.model, mode="async")
    job = server.job(answer.json["id"], wait_s=60)
    states = (job["state"], "canceled") if kind.canceled else (job["state"],)
    return Right(states, job["status"], job.get("result"))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)
