"""What a web process counts of its requests, for /metrics."""

import time
from collections import Counter
from functools import cache
from typing import Literal

from flask import Request, Response, g

from api.access_log import ARRIVED_KEY
from api.problems import Problem
from api.routing import Decision
from metrics.definitions import (
    OPEN_REQUESTS,
    REFUSALS,
    REQUEST_SECONDS,
    REQUESTS,
    REROUTED,
    RESERVED_BYTES,
    ROUTED,
    WAITING_CALLERS,
)
from metrics.numbers import Numbers
from metrics.predictions import count_cost, count_prediction
from predictors.client import Prediction

METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
# The run outlasted its time and goes on under a job's id; it did not begin in time; or decoding took too long.
Reason = Literal["outlasted", "not-begun", "slow-to-decode"]
How = Literal["wait", "events"]  # a caller is kept until a job has ended, or is told each change of it


class Counting:
    """Belongs to the event loop."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers, self._open = numbers, 0
        self._waiting = Counter[How]()

    def opened(self, more: int) -> None:
        """Requests that are answered from now on, or not any more."""
        self._open += more
        self._numbers.set(OPEN_REQUESTS, self._open)

    def waiting(self, how: How, more: int) -> None:
        """Callers who wait from now on, or not any more."""
        self._waiting[how] += more
        self._numbers.set(WAITING_CALLERS, self._waiting[how], how)

    def reserved(self, reserved_bytes: float) -> None:
        """How many bytes are reserved for bodies from now on."""
        self._numbers.set(RESERVED_BYTES, reserved_bytes, "request bodies")

    def answered(self, request: Request, response: Response) -> None:
        """Count an answer before it is sent: whoever has it can read that it was counted."""
        path = _template(request.url_rule.rule) if request.url_rule else ""
        method = request.method if request.method in METHODS else ""
        seconds = time.perf_counter() - request.environ[ARRIVED_KEY]
        self._numbers.add(REQUESTS, method, path, str(response.status_code), g.get("model", ""))
        self._numbers.observe(REQUEST_SECONDS, seconds, path)
        if "problem" in g:
            self._numbers.add(REFUSALS, g.problem)

    def unread(self, problem: Problem) -> None:
        """Count a request that gunicorn refused, because it could not read it."""
        self._numbers.add(REQUESTS, "", "", str(problem.status), "")
        self._numbers.add(REFUSALS, problem.slug)

    def routed(self, name: str, decision: Decision) -> None:
        """Count where an image's prediction is to run. From now on the request is known to be about this model."""
        g.model = self._numbers.model(name)
        self._numbers.add(ROUTED, g.model, decision.route, decision.why)

    def rerouted(self, why: Reason) -> None:
        """Count an inline image that becomes a job."""
        self._numbers.add(REROUTED, g.model, why)

    def predicted(self, name: str, decision: Decision, prediction: Prediction, total_ms: float) -> None:
        """Count a prediction that this process asked for."""
        core_ms = sum(ms for _, _, ms in prediction.samples)
        count_prediction(self._numbers, name, decision.route, prediction.timings_ms, prediction.queue_ms, total_ms)
        count_cost(self._numbers, name, decision.route, core_ms, decision.predicted_ms)


@cache
def _template(rule: str) -> str:
    """Flask's `/jobs/<job_id>` as OpenAPI writes it."""
    return rule.replace("<", "{").replace(">", "}")
