"""create_app: the only place where the parts are put together."""

import encodings.idna  # noqa: F401  werkzeug's, at the first request: here the processes share it
import hmac
import re
import secrets
import time

from flask import Flask, Response, g, request

from api import errors, health, jobs, models, predictions
from api.access_log import ARRIVED_KEY, AccessLog
from api.admission import Limits
from api.bodies import InFlight, RefusedBodies, release
from api.errors import Unauthorized
from api.lane_processes import LaneProcesses
from api.lanes import Lanes
from api.promotion import Promotions
from api.services import Drain, Services
from api.shared_slots import SharedSlots
from api.uploads import Uploads
from inference.engine import Engine
from jobs.connection import front_client, subscriber_client
from jobs.costs import SharedCosts
from jobs.events import JobEvents
from jobs.queue import JobQueue, make_store
from settings import MEGA, Settings

REQUEST_ID = re.compile(r"[A-Za-z0-9._:@+/=-]{1,128}")


def create_app(settings: Settings) -> Flask:
    """The WSGI application. Opens no connection, thread or greenlet: `Services.start` does, after the fork."""
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    service = make_services(settings)
    app.extensions["punnet"] = service
    for resource in (predictions, jobs, models, health):
        app.register_blueprint(resource.blueprint)
    errors.register(app)
    _register_hooks(app, service)
    app.wsgi_app = RefusedBodies(app.wsgi_app, lambda: service.drain.active)  # type: ignore[method-assign]
    return app


def make_services(settings: Settings) -> Services:
    """The parts, with models loaded that may be loaded before a fork."""
    engine = Engine(settings.models_dir, settings.max_pixels, settings.trials_dir)
    engine.measure_decoding()
    if settings.preloads:
        engine.load(before_fork=True)
        engine.log_news()
    client = front_client(settings)
    events = JobEvents(subscriber_client(settings))
    lanes = Lanes(settings.inline_slots, int(settings.decoded_mb * MEGA),
                  SharedSlots(settings.slots_file, settings.workers * settings.inline_slots))
    in_thread = (lambda call: lanes.intake.run(call)[0]) if settings.embedded else (lambda call: call())
    in_flight = InFlight(int(settings.inflight_mb * MEGA))
    queue = JobQueue(client, make_store(client, settings), settings, in_thread)
    drain = Drain(settings, events.release, engine.end_trials)
    return Services(
        settings, Limits(settings.quick_ms, settings.inline_budget_ms), engine, queue, events, lanes,
        LaneProcesses(settings.lane_socket, lanes), in_flight, Uploads(settings, in_flight, lanes), drain,
        Promotions(queue, drain.count), SharedCosts(client),
        AccessLog(settings.log_dir / "access.log"))


def _register_hooks(app: Flask, service: Services) -> None:
    @app.before_request
    def begin() -> None:
        service.drain.count(1)
        g.counted = True
        request.environ[ARRIVED_KEY] = time.perf_counter()
        given = request.environ.get("HTTP_X_REQUEST_ID", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        request.environ["punnet.request-id"] = g.request_id
        if request.blueprint != predictions.blueprint.name:  # those yield in their lane, or in errors.py
            time.sleep(0)  # gevent's: a busy keep-alive connection lets the others in (64 of them: 4017 -> 52 ms)
        if request.endpoint not in health.OPEN_ENDPOINTS:
            check_key(service.settings.keys)

    @app.after_request
    def name_request(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        return response

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        release(request.environ, service.in_flight)
        if g.pop("counted", False):
            service.drain.count(-1)


def check_key(keys: tuple[str, ...]) -> None:
    """Compare with every key, each in constant time, so that timing tells nothing.

    Raises:
        Unauthorized.
    """
    if not keys:
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")
    matches = [hmac.compare_digest(given.encode(), key.encode()) for key in keys]
    if not any(matches):
        raise Unauthorized("send an API key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'")
