"""Where a picture's prediction runs. Pure."""

from dataclasses import dataclass
from typing import Literal

from api.preferences import Mode

Route = Literal["quick", "long", "queue"]


@dataclass(frozen=True)
class Limits:
    """Predicted milliseconds up to which a picture is quick, and up to which it runs inline at all."""

    quick_ms: float
    inline_budget_ms: float


@dataclass(frozen=True)
class Backlog:
    """Milliseconds that a picture would wait in each lane of this process, by the predicted cost of those before."""

    quick_ms: float = 0.0
    long_ms: float = 0.0


@dataclass(frozen=True)
class Decision:
    """Where it runs."""

    route: Route
    predicted_ms: float


def decide(predicted_ms: float, backlog: Backlog, limits: Limits, mode: Mode) -> Decision:
    """The lane by predicted cost alone; a job where it, or its wait in that lane, would take longer than the budget,
    and for a caller who wants no waiting: a job outlives the connection."""
    is_quick = predicted_ms <= limits.quick_ms
    waiting_ms = backlog.quick_ms if is_quick else backlog.long_ms
    if mode == "async" or waiting_ms + predicted_ms > limits.inline_budget_ms:
        return Decision("queue", predicted_ms)
    return Decision("quick" if is_quick else "long", predicted_ms)
