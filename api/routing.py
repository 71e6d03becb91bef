"""Where an image's prediction runs. Pure."""

from dataclasses import dataclass
from typing import Literal

from api.preferences import Mode
from predictors.client import Route

# The image's own cost, the work that waits before it, or its caller's wish.
Why = Literal["cost", "backlog", "asked"]


@dataclass(frozen=True)
class Limits:
    """Predicted milliseconds up to which an image is quick, and up to which it runs inline at all."""

    quick_ms: float
    inline_budget_ms: float


@dataclass(frozen=True)
class Backlog:
    """Milliseconds that an image would wait on each inline route, by the predicted cost of the work before it."""

    quick_ms: float = 0.0
    long_ms: float = 0.0


@dataclass(frozen=True)
class Decision:
    """Where an image's prediction runs, and what it is predicted to cost; why it is a job that could be inline."""

    route: Route
    predicted_ms: float
    why: Why = "cost"


def route_of_drawing(predicted_ms: float, backlog: Backlog, limits: Limits) -> Route:
    """Where a result is drawn, while its caller waits: in line with the jobs if it takes as long as one."""
    return "long" if backlog.long_ms + predicted_ms <= limits.inline_budget_ms else "job"


def decide(predicted_ms: float, backlog: Backlog, limits: Limits, mode: Mode) -> Decision:
    """The predicted cost alone chooses between quick and long. It is a job where the prediction, with its wait on that
    route, would take longer than the budget, and for a caller who wants no waiting: a job outlives the connection."""
    is_quick = predicted_ms <= limits.quick_ms
    waiting_ms = backlog.quick_ms if is_quick else backlog.long_ms
    why = _why_a_job(predicted_ms, waiting_ms, limits, mode)
    if why is not None:
        return Decision("job", predicted_ms, why)
    return Decision("quick" if is_quick else "long", predicted_ms)


def _why_a_job(predicted_ms: float, waiting_ms: float, limits: Limits, mode: Mode) -> Why | None:
    if predicted_ms > limits.inline_budget_ms:
        return "cost"
    if mode == "async":
        return "asked"
    return "backlog" if waiting_ms + predicted_ms > limits.inline_budget_ms else None
