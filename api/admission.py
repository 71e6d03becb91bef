"""Where a picture's prediction runs, and how its caller is answered. Pure."""

from dataclasses import dataclass
from typing import Literal

from api.preferences import Preference

Route = Literal["quick", "long", "queue"]


@dataclass(frozen=True)
class Limits:
    """Predicted milliseconds up to which a picture is quick, and up to which it runs inline at all."""

    quick_ms: float
    inline_budget_ms: float


@dataclass(frozen=True)
class Decision:
    """`hold_s` is how long the caller of a job is held before it gets its id."""

    route: Route
    predicted_ms: float
    hold_s: float = 0.0


def decide(predicted_ms: float, limits: Limits, preference: Preference) -> Decision:
    """The lane by predicted cost alone; a caller who wants no waiting gets a job, which outlives the connection."""
    if preference.mode == "async" or predicted_ms > limits.inline_budget_ms:
        return Decision("queue", predicted_ms, preference.hold_s)
    return Decision("quick" if predicted_ms <= limits.quick_ms else "long", predicted_ms)
