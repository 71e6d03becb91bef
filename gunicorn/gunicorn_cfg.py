"""gunicorn's configuration. No __init__.py in this folder: it would shadow the library."""

from gevent import monkey

monkey.patch_all()  # before anything else is imported: models are loaded before the fork, in the arbiter

import ctypes  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from settings import load_settings  # noqa: E402

_settings = load_settings()
_PR_SET_PDEATHSIG = 1
# What the app logs goes to standard error, which gunicorn captures into its error log.
logging.basicConfig(level=_settings.logging_level.upper(),
                    format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")

bind = _settings.bind
worker_class = "gevent"
workers = _settings.workers
worker_connections = 10_000  # an idle long-poll costs 18 KiB
backlog = 2048
# A reload needs code that is imported after the fork.
preload_app = _settings.preload and not _settings.reload
# Seconds; below graceful_timeout, or an idle connection would use up a stop's patience.
keepalive = max(1, min(5, _settings.stop_timeout_s - 1))
graceful_timeout = _settings.stop_timeout_s
timeout = 120  # seconds without a sign from the hub, which never computes; models loaded after the fork take some
loglevel = _settings.logging_level
accesslog = str(_settings.log_dir / "access.log")
errorlog = str(_settings.log_dir / "error.log")
capture_output = True
access_log_format = '%(h)s %(t)s "%(r)s" %(s)s %(b)s %(D)sus "%(a)s" %({x-request-id}o)s'
control_socket_disable = True  # its default is one socket per user: two instances would share it
proc_name = "punnet"


def post_fork(server: Any, worker: Any) -> None:
    """The kernel kills a worker whose arbiter dies, or it would keep the port from the next one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server.pid:
        os._exit(1)


def post_worker_init(worker: Any) -> None:
    """The app is imported and this is its process: threads and connections may start."""
    worker.wsgi.extensions["punnet"].start()
