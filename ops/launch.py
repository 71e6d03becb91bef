"""`python -m ops.launch ROLE`: what supervisord runs instead of a program itself.

Ties the program to supervisord's life (a killed supervisord would leave it running, and the next would add a second
set), waits for the lock of its role (two queue servers start on one folder without a word, and jobs are lost), then
becomes the program: same pid, so supervisord's signals reach it.
"""

import fcntl
import os
import sys
from pathlib import Path

from lifeline import die_with_parent
from ops import queue_server
from settings import PREFIX, ROOT, Settings, load_settings
from state_dir import PRIVATE_UMASK

# Callers' keys are the web processes' alone, and predictors know no queue server: what runs a model's hooks must not
# have secrets in an environment that one of them may print. Settings are checked in every process, so that something
# has to stand there.
NO_KEY = {f"{PREFIX}API_KEYS": "none:this-process-knows-no-key", f"{PREFIX}API_KEYS_FILE": ""}
NO_REDIS = {f"{PREFIX}REDIS_URL": "redis://this-process-knows-no-queue-server"}
# Workers alone sign webhooks.
NO_SECRET = {f"{PREFIX}WEBHOOK_SECRET": ""}
# RQ reads it when it is imported. RQ's keys of the default queue stay where RQ's tools look for them.
RQ_PREFIX = "RQ_KEY_PREFIX"


def main(role: str) -> None:
    settings = load_settings()
    os.umask(PRIVATE_UMASK)
    die_with_parent(int((settings.state_dir / "supervisord.pid").read_text()))
    _take_lock(settings.state_dir / f"{role}.lock")
    arguments = COMMANDS[role](settings)
    os.execve(arguments[0], arguments, _environment(role, settings))


def _environment(role: str, settings: Settings) -> dict[str, str]:
    """The environment of the program, without the secrets that it does not need."""
    no_key = NO_KEY if settings.has_keys and role != "gunicorn" else {}
    no_redis = NO_REDIS if settings.redis_url and role == "predictors" else {}
    default_queue = settings.queue == Settings.model_fields["queue"].default
    own_prefix = {} if default_queue else {RQ_PREFIX: f"{settings.queue}:rq"}
    no_secret = {} if role == "workers" else NO_SECRET
    return dict(os.environ) | no_key | no_redis | no_secret | own_prefix


def _take_lock(path: Path) -> None:
    """Held until this process and all its children have ended: the descriptor is left to them."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _valkey(settings: Settings) -> list[str]:
    settings.state.queue_dir.mkdir(parents=True, exist_ok=True)
    return queue_server.command(queue_server.find(), settings.state)


def _gunicorn(settings: Settings) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn" / "gunicorn_cfg.py"), "wsgi:app"]


def _predictors(settings: Settings) -> list[str]:
    return [sys.executable, "-m", "predictors"]


def _workers(settings: Settings) -> list[str]:
    return [sys.executable, "-m", "worker"]


def _reloader(settings: Settings) -> list[str]:
    return [sys.executable, "-m", "ops.reload"]


COMMANDS = {"valkey": _valkey, "predictors": _predictors, "workers": _workers, "gunicorn": _gunicorn,
            "reloader": _reloader}

if __name__ == "__main__":
    main(sys.argv[1])
