"""`python -m ops.start`: what start.sh runs once the venv is ready."""

import argparse
import contextlib
import http.client
import json
import os
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from ops import processes, supervisor
from ops.stop import stop
from ops.supervisor import UNREACHABLE, Supervisor
from settings import PREFIX, ROOT, Settings, SettingsError, load_settings, unknown_variables

POLL_S = 0.1
PROGRESS_S = 5.0
# gunicorn or the workers ended so often before the first answer: they will not come up by waiting.
FAILED_STARTS = 3
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
DATA_ADVICE = ("\nIts data lie in {folder} and were left as they are: restore them, "
               "mend the file with valkey-check-aof, or move the folder away to start empty.")
IMAGES = (".jpg", ".jpeg", ".png", ".webp")
LOG_LINES = 15
OPEN_FILES = 16384


class StartError(Exception):
    """The service cannot be started; the text is one line for the person who tried."""


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)  # the terminal was closed
    try:
        if options.reload:
            os.environ[f"{PREFIX}RELOAD"] = "true"
        settings = load_settings()
        settings.read_keys()  # what is wrong with them is to be said here, and not in a log
        sys.exit(start(settings, options.foreground))
    except (SettingsError, StartError) as error:
        sys.exit(f"punnet: {error}")


def _interrupt(number: int, frame: object) -> None:
    """TERM is as good as Ctrl-C."""
    raise KeyboardInterrupt


def start(settings: Settings, foreground: bool) -> int:
    """Start everything and wait until it answers; in the foreground until it ends.

    Raises:
        StartError.
    """
    for name in unknown_variables():
        print(f"punnet: {name} is no setting; is it misspelt?", file=sys.stderr)
    _make_folders(settings)
    began = False
    try:
        with processes.control_lock(settings.state_dir):
            if Supervisor(settings).is_running() and not settings.state.draining.exists():
                print(f"Punnet is running already at {url(settings)}; nothing was started.")
                return 0
            began = True
            daemon = _start(settings, foreground)
        print(_greeting(settings, _models(settings)), flush=True)
        return daemon.wait() if foreground else 0
    except KeyboardInterrupt:
        if began:
            _stop_all(settings)
        if foreground:
            return 0
        raise StartError("interrupted; nothing of this start is left running") from None


def _start(settings: Settings, foreground: bool) -> subprocess.Popen[bytes]:
    if Supervisor(settings).is_running():
        print("Finishing a stop that was interrupted ...", flush=True)
        stop(settings)
    _end_leftovers(settings)
    _check_port(settings)
    daemon = _launch(settings, foreground)
    _wait_ready(settings)
    return daemon


def _stop_all(settings: Settings) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with processes.control_lock(settings.state_dir):
        stop(settings)


def url(settings: Settings) -> str:
    """Where this machine reaches the service."""
    host = ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./start.sh", description="Start Punnet in the background.")
    parser.add_argument("--foreground", action="store_true", help="stay in the foreground; TERM stops all")
    parser.add_argument("--reload", action="store_true", help="follow changes of code and models (development)")
    return parser.parse_args()


def _make_folders(settings: Settings) -> None:
    for name, folder in (("STATE_DIR", settings.state.spool), ("STATE_DIR", settings.state.ended),
                         ("LOG_DIR", settings.log_dir)):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"{PREFIX}{name}: cannot make {folder}: {error.strerror}") from error
    for name, wanted in (("MODELS_DIR", settings.models_dir), ("IMAGE_ROOT", settings.image_root)):
        if wanted is not None and not wanted.is_dir():
            raise StartError(f"{PREFIX}{name}={wanted}: there is no such folder")


def _end_leftovers(settings: Settings) -> None:
    """What a killed supervisord left, and the marks of a stop that was cut short."""
    left = processes.marked(settings.state_dir)
    if left:
        print(f"Ending {len(left)} processes that a killed supervisor left ...")
        processes.kill(left)
        processes.wait_gone(settings.state_dir, timeout_s=10)
    settings.state.draining.unlink(missing_ok=True)
    shutil.rmtree(settings.state.drained, ignore_errors=True)
    settings.state.catalogue.unlink(missing_ok=True)
    for failed in settings.state.trials.glob("*.failed"):  # what failed may fail no longer: there may be more memory
        failed.unlink()


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
            probe.listen()
        except OSError as error:
            raise StartError(f"{PREFIX}BIND={settings.bind} cannot be used: {error.strerror or error}; "
                             "stop what has it, or choose another") from error


def _launch(settings: Settings, foreground: bool) -> subprocess.Popen[bytes]:
    variables = {"SUPERVISED": settings.state_dir, "STATE_DIR": settings.state_dir, "LOG_DIR": settings.log_dir,
                 "ROOT": ROOT, "PYTHON": shlex.quote(sys.executable),
                 "EMBEDDED": str(settings.embedded).lower(), "RELOAD": str(settings.reload).lower(),
                 "STOP_WAIT_S": settings.stop_timeout_s + 10, "MINFDS": _open_files()}
    settings.state.patience.write_text(str(settings.stop_timeout_s))
    environment = os.environ | {PREFIX + name: str(value) for name, value in variables.items()}
    # Its own group: a terminal's Ctrl-C reaches this process, which stops all in order.
    daemon = subprocess.Popen(supervisor.command(foreground), cwd=ROOT, env=environment, process_group=0)
    if not foreground and daemon.wait() != 0:
        raise StartError(f"supervisord did not start; see {settings.log_dir / 'supervisor.log'}")
    return daemon


def _open_files() -> int:
    """Enough for the connections of a gunicorn worker, or what this machine allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)


def _wait_ready(settings: Settings) -> None:
    """Until /readyz says 200 and the queue server answers.

    Raises:
        StartError: a program ended again and again meanwhile; all is stopped again.
    """
    began = said = time.monotonic()
    seen: dict[str, set[int]] = {}
    while not (_is_ready(settings) and _queue_answers(settings)):
        for program, pid in _pids(settings).items():
            seen.setdefault(program, set()).add(pid)
        failed = next((program for program, pids in seen.items() if len(pids - {0}) > FAILED_STARTS), None)
        if failed:
            stop(settings)
            raise StartError(f"{failed} does not stay up; the end of its log:\n{_log_end(settings, failed)}"
                             + (DATA_ADVICE.format(folder=settings.state.queue_dir) if failed == "valkey" else ""))
        if time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            print(f"Waiting until models are tried and loaded ({said - began:.0f} s): {_progress(settings)} ...",
                  flush=True)
        time.sleep(POLL_S)


def _progress(settings: Settings) -> str:
    """Which models a start still waits for, as far as anybody tells."""
    try:
        models = _models(settings)
    except (OSError, http.client.HTTPException, KeyError):
        return "the processes are starting"
    return ", ".join(model["name"] for model in models if model["state"] == "loading") or "almost done"


def _is_ready(settings: Settings) -> bool:
    try:
        return _get(settings, "/readyz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _models(settings: Settings) -> list[dict[str, str]]:
    """As GET /models lists them."""
    return json.loads(_get(settings, "/models")[1])["models"]


def _get(settings: Settings, path: str) -> tuple[int, bytes]:
    host = ANY_ADDRESS.get(settings.host, settings.host)
    with contextlib.closing(http.client.HTTPConnection(host, settings.port, timeout=5)) as connection:
        keys = settings.read_keys()
        connection.request("GET", path, headers={"X-API-Key": keys[0]} if keys else {})
        response = connection.getresponse()
        return response.status, response.read()


def _queue_answers(settings: Settings) -> bool:
    """Whether the embedded server takes commands; an outside one is not ours to wait for."""
    if not settings.embedded:
        return True
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(1)
        connection.connect(str(settings.state.queue_socket))
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False


def _pids(settings: Settings) -> dict[str, int]:
    with contextlib.suppress(*UNREACHABLE):
        return Supervisor(settings).pids()
    return {}


def _log_end(settings: Settings, program: str) -> str:
    name = {"gunicorn": "error.log", "workers": "worker.log"}.get(program, f"{program}.log")
    return "\n".join((settings.log_dir / name).read_text(errors="replace").splitlines()[-LOG_LINES:])


def _greeting(settings: Settings, models: list[dict[str, str]]) -> str:
    """What can be tried now, and what became, or is to become, of the other models."""
    ready = [model["name"] for model in models if model["state"] == "ready"]
    loading = [model["name"] for model in models if model["state"] == "loading"]
    failed = [f"\nModel {model['name']} cannot be served: {model['reason']}" for model in models
              if model["state"] == "failed"]
    head = f"Punnet is ready at {url(settings)}{''.join(failed)}"
    tail = f"\nStill being tried and loaded, served as soon as that is done: {', '.join(loading)}" if loading else ""
    if not ready:
        return f"{head}{tail}\nNo model is served yet: put one at {settings.models_dir}/<name>/model.onnx; " \
               "it is taken up while Punnet runs."
    return f"{head}\nTry it:\n  {_curl_line(settings, 'strawberry' if 'strawberry' in ready else ready[0])}{tail}"


def _curl_line(settings: Settings, model: str) -> str:
    key = " -H 'X-API-Key: YOUR_KEY'" if settings.has_keys else ""
    image = _sample(settings.image_root)
    image = f"-d img_file={shlex.quote(image)}" if image else "-F img_file=@photo.jpg"
    form = f"-d model_type={model}" if image else f"-F model_type={model}"
    return f"curl -X POST {url(settings).removeprefix('http://')}/predict{key} {form} {image}"


def _sample(root: Path | None) -> str | None:
    """The first image of the image root, relative to it."""
    found = sorted(path.name for path in root.glob("*") if path.suffix.lower() in IMAGES) if root else []
    return found[0] if found else None


if __name__ == "__main__":
    main()
