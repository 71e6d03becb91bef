"""What web processes and workers count alike of predictions that went well."""

from collections.abc import Mapping

from metrics.definitions import COST_RATIO, PHASE_SECONDS, PREDICTION_SECONDS
from metrics.numbers import Numbers


def count_prediction(numbers: Numbers, name: str, route: str, phases_ms: Mapping[str, float], queue_ms: float,
                     total_ms: float) -> None:
    """Count how long a model's prediction took, as its caller sees it."""
    model = numbers.model(name)
    numbers.observe(PREDICTION_SECONDS, total_ms / 1000, model, route)
    for phase, ms in {"queue": queue_ms, **phases_ms}.items():
        numbers.observe(PHASE_SECONDS, ms / 1000, model, phase)


def count_cost(numbers: Numbers, name: str, route: str, core_ms: float, predicted_ms: float) -> None:
    """Count how far off its predicted cost was."""
    if predicted_ms > 0:
        numbers.observe(COST_RATIO, core_ms / predicted_ms, numbers.model(name), route)
