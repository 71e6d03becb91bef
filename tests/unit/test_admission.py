import pytest

from api.admission import Decision, Limits, Route, decide
from api.preferences import Mode, Preference

LIMITS = Limits(quick_ms=25, inline_budget_ms=250)


@pytest.mark.parametrize(("predicted_ms", "mode", "route"), [
    (0, "auto", "quick"), (25, "auto", "quick"), (25.1, "auto", "long"), (250, "auto", "long"),
    (250.1, "auto", "queue"),
    (0, "sync", "quick"), (100, "sync", "long"), (1000, "sync", "queue"),
    (0, "async", "queue"), (100, "async", "queue"), (1000, "async", "queue"),
])
def test_predicted_cost_decides_the_lane(predicted_ms: float, mode: Mode, route: Route) -> None:
    assert decide(predicted_ms, LIMITS, Preference(mode)) == Decision(route, predicted_ms)


@pytest.mark.parametrize(("mode", "hold_s"), [("sync", 60.0), ("async", 5.0), ("auto", 0.0)])
def test_the_caller_of_a_job_is_held_as_long_as_he_wants(mode: Mode, hold_s: float) -> None:
    assert decide(1000, LIMITS, Preference(mode, hold_s)) == Decision("queue", 1000, hold_s)


def test_inline_work_holds_nobody_for_a_job() -> None:
    assert decide(10, LIMITS, Preference("sync", 60)).hold_s == 0


@pytest.mark.parametrize("predicted_ms", [0.001, 10, 1000])
def test_with_a_budget_of_nothing_everything_is_a_job(predicted_ms: float) -> None:
    assert decide(predicted_ms, Limits(25, 0), Preference()).route == "queue"
