import pytest

from api.preferences import Mode
from api.routing import Backlog, Decision, Limits, decide, route_of_drawing
from predictors.client import Route

LIMITS = Limits(quick_ms=25, inline_budget_ms=250)


@pytest.mark.parametrize(("predicted_ms", "mode", "route"), [
    (0, "auto", "quick"), (25, "auto", "quick"), (25.1, "auto", "long"), (250, "auto", "long"),
    (250.1, "auto", "job"),
    (0, "sync", "quick"), (100, "sync", "long"), (1000, "sync", "job"),
    (0, "async", "job"), (100, "async", "job"), (1000, "async", "job"),
])
def test_predicted_cost_decides_the_route(predicted_ms: float, mode: Mode, route: Route) -> None:
    decision = decide(predicted_ms, Backlog(), LIMITS, mode)
    assert (decision.route, decision.predicted_ms) == (route, predicted_ms)


@pytest.mark.parametrize(("predicted_ms", "backlog", "mode", "decision"), [
    (10, Backlog(), "auto", Decision("quick", 10, "cost")),
    (1000, Backlog(), "auto", Decision("job", 1000, "cost")),
    (1000, Backlog(long_ms=1000), "async", Decision("job", 1000, "cost")),
    (10, Backlog(), "async", Decision("job", 10, "asked")),
    (100, Backlog(long_ms=200), "auto", Decision("job", 100, "backlog")),
])
def test_a_decision_tells_why(predicted_ms: float, backlog: Backlog, mode: Mode, decision: Decision) -> None:
    assert decide(predicted_ms, backlog, LIMITS, mode) == decision


@pytest.mark.parametrize(("predicted_ms", "backlog", "route"), [
    (5, Backlog(), "long"), (250, Backlog(), "long"), (251, Backlog(), "job"), (5, Backlog(long_ms=250), "job"),
    (5, Backlog(quick_ms=1000), "long")])
def test_a_drawing_that_takes_as_long_as_a_job_waits_with_the_jobs(predicted_ms: float, backlog: Backlog,
                                                                   route: Route) -> None:
    assert route_of_drawing(predicted_ms, backlog, LIMITS) == route


@pytest.mark.parametrize("predicted_ms", [0.001, 10, 1000])
def test_with_a_budget_of_nothing_everything_is_a_job(predicted_ms: float) -> None:
    assert decide(predicted_ms, Backlog(), Limits(25, 0), "auto").route == "job"


@pytest.mark.parametrize(("predicted_ms", "backlog", "route"), [
    (100, Backlog(long_ms=150), "long"), (100, Backlog(long_ms=150.1), "job"),
    (10, Backlog(quick_ms=240), "quick"), (10, Backlog(quick_ms=240.1), "job"),
    (10, Backlog(long_ms=10_000), "quick"), (100, Backlog(quick_ms=10_000), "long"),
])
def test_what_would_wait_past_the_budget_on_its_own_route_is_a_job(predicted_ms: float, backlog: Backlog,
                                                                   route: Route) -> None:
    assert decide(predicted_ms, backlog, LIMITS, "auto").route == route
