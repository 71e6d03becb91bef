"""gunicorn's configuration. No __init__.py in this folder: it would shadow the library."""

from gevent import Timeout, monkey

monkey.patch_all()  # before anything else is imported: the app is imported before the fork, in the arbiter

import gc  # noqa: E402
import random  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from gunicorn.glogging import Logger  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import logs  # noqa: E402
from lifeline import die_with_parent, show_as  # noqa: E402
from settings import CONNECTIONS as _CONNECTIONS  # noqa: E402
from settings import MEGA as _MEGA  # noqa: E402
from settings import load_settings  # noqa: E402

_settings = load_settings()
# What the app logs goes to standard error, which gunicorn captures into its error log.
logs.configure(_settings.logging_level, _settings.log_format)

bind = _settings.bind
worker_class = "gevent"
workers = _settings.workers
worker_connections = _CONNECTIONS
backlog = 2048
preload_app = not _settings.reload
# Seconds; below graceful_timeout, or an idle connection would use up a stop's patience.
keepalive = max(1, min(5, _settings.stop_timeout_s - 1))
graceful_timeout = _settings.stop_timeout_s
timeout = 120  # seconds without a sign from the event loop, which never computes
loglevel = _settings.logging_level
errorlog = str(_settings.log_dir / "error.log")
capture_output = True
control_socket_disable = True  # its default is one socket per user: two instances would share it
proc_name = "punnet"


class _JsonLogger(Logger):
    """gunicorn's own lines in our form. It makes a logger anew when it reads its configuration again."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.formatter("json"))


logger_class = _JsonLogger if _settings.log_format == "json" else Logger


def when_ready(server: Any) -> None:
    """A connection on which nothing comes stays with the kernel for two minutes, and costs a web process nothing."""
    show_as("punnet-gunicorn")
    for listener in server.LISTENERS:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 120)


def pre_fork(server: Any, worker: Any) -> None:
    """A collection in the new process leaves alone what it shares with the others."""
    gc.collect()
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    """A worker whose arbiter was killed would keep the port from the next one."""
    die_with_parent(server.pid)
    show_as("punnet-web")


def on_reload(server: Any) -> None:
    """HUP: the next web processes know the keys that the file has now. Those of --reload import all anew."""
    if preload_app:
        server.app.wsgi().extensions["punnet"].callers.read_again()


def child_exit(server: Any, worker: Any) -> None:
    """What a dead web process waited for must not count any more."""
    from api.waiting import clear_dead  # not before the fork: with --reload nothing of ours is to be imported there
    clear_dead(_settings.state.waiting)


def worker_exit(server: Any, worker: Any) -> None:
    """A web process that gets here was not killed."""
    app = getattr(worker, "wsgi", None)
    if hasattr(app, "extensions"):  # it could be loaded
        app.extensions["punnet"].numbers.leave()


def post_request(worker: Any, request: Any, environ: dict[str, Any], response: Any) -> None:
    """Our own access log (api/access_log.py says why)."""
    if environ and response is not None and response.status:
        worker.wsgi.extensions["punnet"].access_log.write(
            environ, response.status, response.sent, environ.get("punnet.request-id", "-"))


def _silence() -> Timeout:
    """How long a connection may send nothing. It is not the same for all: a thousand that were opened together would
    be closed together, and hold up the others for as long as that takes."""
    return Timeout(keepalive * random.uniform(0.6, 1), False)  # noqa: S311


def post_worker_init(worker: Any) -> None:
    """The app is imported and this is its process: threads and connections may start.

    Three methods of the worker are replaced by ours, on this object alone: how it handles a connection, which gets
    limits of time, how long it waits for a request, and how it tells what it refuses.
    """
    # Not before the fork: with --reload nothing of ours is to be imported there.
    from api.connection import Patience, limited
    from api.refusals import handle_error

    service = worker.wsgi.extensions["punnet"]
    patience = Patience(_settings.min_upload_kbps, _settings.inflight_mb * _MEGA / 4, lambda: service.drain.active)
    worker.handle = limited(worker.handle, patience, service.connections)
    worker.timeout_ctx = _silence
    worker.handle_error = partial(handle_error, url_prefix=_settings.url_prefix,
                                  count=service.counting.unread)
    service.start(lambda: worker.alive)
