"""Waiting until the service answers, as a client of it; and why a program of it does not stay up."""

import contextlib
import http.client
import json
import socket
import time
from collections import defaultdict

import probes
from ops import processes, queue_server
from ops.checks import StartError
from ops.stop import stop
from ops.supervisor import UNREACHABLE, Supervisor
from predictors.catalogue import Catalogue
from settings import Settings

POLL_S = 0.1
PROGRESS_S = 5.0
# A program ended so often before the first answer: it will not come up by waiting.
FAILED_STARTS = 3
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
LOGS = {"gunicorn": "error.log", "workers": "worker.log"}  # the others bear their program's name
LAST_LINES = 15
BROKEN_FILE = "reading the append only file"  # what every queue server says of one that it cannot read


def url(settings: Settings) -> str:
    """Where this machine reaches the service."""
    host = ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def is_ready(settings: Settings) -> bool:
    """Whether /readyz says 200 and the queue server answers; without the role web, whether the models are loaded."""
    if not settings.is_web:
        return Catalogue(settings.state.catalogue).is_ready
    try:
        return _get(settings, "/readyz")[0] == 200 and _queue_answers(settings)
    except (OSError, http.client.HTTPException):
        return False


def wait_ready(settings: Settings) -> None:
    """Until it is ready.

    Raises:
        StartError: a program ended again and again meanwhile; all is stopped again.
    """
    began = said = time.monotonic()
    starts: defaultdict[str, set[int]] = defaultdict(set)
    while not is_ready(settings):
        _check_alive(settings, starts)
        if time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            print(f"Waiting until models are tried and loaded ({said - began:.0f} s): {_progress(settings)} ...",
                  flush=True)
        time.sleep(POLL_S)


def _check_alive(settings: Settings, starts: defaultdict[str, set[int]]) -> None:
    """Raises StartError where supervisord ended, or where a program was started too often; `starts` has its pids."""
    pids = _pids(settings)
    if not pids and not processes.marked(settings.state_dir):
        raise StartError(f"supervisord ended by itself; {settings.log_dir / 'supervisor.log'} may tell why")
    for program, pid in pids.items():
        starts[program].add(pid)
        if len(starts[program] - {0}) > FAILED_STARTS:
            stop(settings)
            raise StartError(_why(settings, program))


def models(settings: Settings) -> list[dict[str, str]]:
    """As GET /models lists them."""
    if not settings.is_web:
        return [{"name": entry.name, "state": entry.state, "reason": entry.reason}
                for entry in Catalogue(settings.state.catalogue).entries]
    return json.loads(_get(settings, "/models")[1])["models"]


def _progress(settings: Settings) -> str:
    """Which models a start still waits for, as far as anybody tells."""
    try:
        listed = models(settings)
    except (OSError, http.client.HTTPException, KeyError):
        return "the processes are starting"
    return ", ".join(model["name"] for model in listed if model["state"] == "loading") or "almost done"


def _get(settings: Settings, path: str) -> tuple[int, bytes]:
    host = ANY_ADDRESS.get(settings.host, settings.host)
    with contextlib.closing(http.client.HTTPConnection(host, settings.port, timeout=5)) as connection:
        keys = settings.read_keys()
        key = {"X-API-Key": keys[0]} if keys else {}
        connection.request("GET", path, headers={"User-Agent": probes.OWN, **key})
        response = connection.getresponse()
        return response.status, response.read()


def _queue_answers(settings: Settings) -> bool:
    """Whether the embedded server is up, be its disk full or not; an outside one is not ours to wait for."""
    if not settings.embedded:
        return True
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(1)
        connection.connect(str(settings.state.queue_socket))
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith((b"+PONG", b"-MISCONF"))
    return False


def _pids(settings: Settings) -> dict[str, int]:
    with contextlib.suppress(*UNREACHABLE):
        return Supervisor(settings).pids()
    return {}


def _why(settings: Settings, program: str) -> str:
    """One line: the end of the program's log, and what to do where that is known."""
    log = settings.log_dir / LOGS.get(program, f"{program}.log")
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if program == "valkey" and any(BROKEN_FILE in line for line in said[-LAST_LINES:]):
        mending = queue_server.mending_command(queue_server.find(), settings.state)
        return (f"the queue's file below {settings.state.queue_dir} is damaged: restore it from a copy, or cut off "
                f"what is behind its last whole entry with: {mending}")
    return f"{program} does not stay up; it last said: {said[-1].strip() if said else 'nothing'} ({log} has more)"
