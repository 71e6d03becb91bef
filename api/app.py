"""create_app: the only place where the parts are put together."""

import encodings.idna  # noqa: F401  werkzeug imports it at the first request: here all processes share it
import time
from collections.abc import Callable, Iterable
from resource import RLIMIT_NOFILE, getrlimit
from typing import Any

from flask import Flask, Response, g, request

from api import health, jobs, metrics, models, openapi, page, predictions, problems
from api.access_log import ARRIVED_KEY, AccessLog, tell
from api.auth import SHARE_KEY, Callers
from api.body import InFlight, RefusedBodies, release
from api.browsers import Browsers
from api.costs import Costs
from api.counting import Counting
from api.drain import Drain
from api.form import Forms
from api.intake import Intake
from api.parking import Parking
from api.poison import PoisonExchange
from api.promotion import Promotions
from api.request_id import request_id
from api.routing import Limits
from api.services import Services
from api.trace import continued
from api.waiting import Waiting
from jobs.connection import subscriber_client, web_client
from jobs.costs import SharedCosts
from jobs.events import JobEvents
from jobs.following import Following
from jobs.idempotency import Claims
from jobs.owners import Owner
from jobs.poison import SharedPoison
from jobs.queue import JobQueue
from jobs.store import blocks, make_store
from jobs.totals import QueueTotals
from metrics.numbers import Numbers
from predictors.catalogue import Catalogue
from predictors.client import Predictors
from settings import CONNECTIONS, MEGA, Settings
from shares import OVERDRAFT, Shares


def create_app(settings: Settings) -> Flask:
    """The WSGI application. Opens no connection, thread or greenlet: `Services.start` does, after the fork."""
    app = Flask(__name__, static_folder=None)
    service = make_services(settings)
    app.extensions["punnet"] = service
    for resource in (predictions, jobs, models, health, metrics, openapi, page):
        app.register_blueprint(resource.blueprint)
    openapi.described(settings.url_prefix, settings.has_keys)  # before the fork: all processes share it
    problems.register(app)
    _register_hooks(app, service)
    below = _below(settings.url_prefix, Parking(app.wsgi_app, service.count_open))
    app.wsgi_app = RefusedBodies(below, lambda: service.drain.leaving)  # type: ignore[method-assign]
    return app


def make_services(settings: Settings) -> Services:
    """The parts of one web process."""
    client = web_client(settings)
    catalogue = Catalogue(settings.state.catalogue)
    numbers = Numbers(settings.state.numbers)
    counting = Counting(numbers)
    intake, in_flight = Intake(), InFlight(int(settings.inflight_mb * MEGA), counting.reserved)
    events = JobEvents(subscriber_client(settings), settings.queue)
    queue = JobQueue(client, make_store(client, settings), settings,
                     intake.run if blocks(settings) else lambda call: call())
    costs = Costs(catalogue, SharedCosts(client, settings.queue))
    waiting = Waiting(settings.state.waiting, settings.predictors)
    following = Following(events, queue.records)
    drain = Drain(settings.state, following.end)
    predictors = Predictors(settings.state, catalogue)
    poison = SharedPoison(client, settings.queue, predictors.poison.ages_s, predictors.poison.learn)
    return Services(
        settings, Limits(settings.quick_ms, settings.inline_budget_ms), catalogue,
        predictors, PoisonExchange(poison), costs, queue, Claims(client, settings.queue, settings.result_ttl_s), events,
        following, intake, in_flight,
        Forms(settings, in_flight, intake), waiting, drain,
        Promotions(queue, events, waiting, costs, counting, drain.count, Owner(settings.state.owners)),
        AccessLog(settings.log_dir / "access.log", settings.log_format),
        Callers(settings), Browsers.of(settings), Shares(_most_connections() / OVERDRAFT),
        Shares(_most_connections() / 2),  # of those that wait: with an overdraft there is still room for others
        numbers, counting, QueueTotals(client, settings))


def _most_connections() -> int:
    """How many connections a process can have: gunicorn takes no more, or there are no more file descriptors."""
    return min(CONNECTIONS, getrlimit(RLIMIT_NOFILE)[0])


def _below(prefix: str, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Tell the application below which path a proxy serves it, which the URLs in its answers begin with."""
    def called_below(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = prefix
        return app(environ, start_response)

    return called_below if prefix else app


def _register_hooks(app: Flask, service: Services) -> None:
    @app.before_request
    def begin() -> Response | None:
        service.count_open(1)
        g.counted = True
        request.environ.setdefault(ARRIVED_KEY, time.perf_counter())
        g.request_id = request_id(request.environ.get("HTTP_X_REQUEST_ID", ""))
        request.environ["punnet.request-id"] = g.request_id
        g.traceparent = continued(request.headers.get("traceparent", ""))
        if g.traceparent:
            tell(request.environ, trace=g.traceparent.split("-")[1])
        if request.blueprint != predictions.blueprint.name:  # those yield while they wait, or in problems.py
            time.sleep(0)  # under gevent this yields: a busy keep-alive connection lets the others in
        service.browsers.check(request)
        answer = service.browsers.preflight(request)
        if answer is None:
            identify()
        return answer

    def identify() -> None:
        if request.endpoint not in (*health.OPEN_ENDPOINTS, *openapi.OPEN_ENDPOINTS, *page.OPEN_ENDPOINTS):
            g.caller = service.callers.caller(request)
            request.environ[SHARE_KEY] = g.caller.share

    @app.after_request
    def mark(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        if g.traceparent:
            response.headers["traceparent"] = g.traceparent
        service.browsers.mark(request, response)
        service.counting.answered(request, response)
        return response

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        release(request.environ, service.in_flight)
        if g.pop("counted", False):
            service.count_open(-1)
