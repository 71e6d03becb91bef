import pytest

from api.admission import Backlog, Decision, Limits, Route, decide
from api.preferences import Mode

LIMITS = Limits(quick_ms=25, inline_budget_ms=250)


@pytest.mark.parametrize(("predicted_ms", "mode", "route"), [
    (0, "auto", "quick"), (25, "auto", "quick"), (25.1, "auto", "long"), (250, "auto", "long"),
    (250.1, "auto", "queue"),
    (0, "sync", "quick"), (100, "sync", "long"), (1000, "sync", "queue"),
    (0, "async", "queue"), (100, "async", "queue"), (1000, "async", "queue"),
])
def test_predicted_cost_decides_the_lane(predicted_ms: float, mode: Mode, route: Route) -> None:
    assert decide(predicted_ms, Backlog(), LIMITS, mode) == Decision(route, predicted_ms)


@pytest.mark.parametrize("predicted_ms", [0.001, 10, 1000])
def test_with_a_budget_of_nothing_everything_is_a_job(predicted_ms: float) -> None:
    assert decide(predicted_ms, Backlog(), Limits(25, 0), "auto").route == "queue"


@pytest.mark.parametrize(("predicted_ms", "backlog", "route"), [
    (100, Backlog(long_ms=150), "long"), (100, Backlog(long_ms=150.1), "queue"),
    (10, Backlog(quick_ms=240), "quick"), (10, Backlog(quick_ms=240.1), "queue"),
    (10, Backlog(long_ms=10_000), "quick"), (100, Backlog(quick_ms=10_000), "long"),
])
def test_what_would_wait_past_the_budget_in_its_own_lane_is_a_job(predicted_ms: float, backlog: Backlog,
                                                                   route: Route) -> None:
    assert decide(predicted_ms, backlog, LIMITS, "auto").route == route
