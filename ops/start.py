"""`python -m ops.start`: what start.sh runs once the venv is ready."""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from urllib.parse import quote_plus

from jobs.stores import named
from lifeline import die_with_parent
from ops import checks, processes, readiness, supervisor
from ops.checks import StartError
from ops.given_settings import check_env_file, warn_of_misspelt
from ops.service_log import ServiceLog
from ops.stop import stop
from ops.supervisor import Supervisor
from settings import PREFIX, ROOT, Settings, SettingsError, load_settings
from state_dir import PRIVATE_UMASK

IMAGES = (".jpg", ".jpeg", ".png", ".webp")


def main() -> None:
    options = _options()
    os.umask(PRIVATE_UMASK)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)  # the terminal was closed
    try:
        if options.reload:
            os.environ[f"{PREFIX}RELOAD"] = "true"
        warn_of_misspelt()  # first: what is missing may be what is misspelt
        check_env_file()
        settings = load_settings()
        settings.read_keys()  # what is wrong with them is to be said here, and not in a log
        if settings.store:
            named.check(settings)
        sys.exit(start(settings, options.foreground))
    except (SettingsError, StartError) as error:
        sys.exit(f"punnet: {error}")
    except OSError as error:  # of a disk that fills or goes away just now
        sys.exit(f"punnet: {error.filename or 'the system'}: {error.strerror or error}")


def _interrupt(number: int, frame: object) -> None:
    """TERM is as good as Ctrl-C."""
    raise KeyboardInterrupt


def start(settings: Settings, foreground: bool) -> int:
    """Start everything and wait until it answers; in the foreground until it ends.

    Raises:
        StartError.
    """
    checks.make_folders(settings)
    with ServiceLog(settings.log_dir) if foreground else nullcontext():
        return _start_and_wait(settings, foreground)


def _start_and_wait(settings: Settings, foreground: bool) -> int:
    began = False
    try:
        with processes.control_lock(settings.state_dir):
            if Supervisor(settings).is_running() and not settings.state.draining.exists():
                return _already_running(settings)
            began = True
            daemon = _start(settings, foreground)
        print(_greeting(settings, readiness.models(settings)), flush=True)
        return daemon.wait() if foreground else 0
    except KeyboardInterrupt:
        if began:
            _stop_all(settings)
        if foreground:
            return 0
        raise StartError("interrupted; nothing of this start is left running") from None


def _already_running(settings: Settings) -> int:
    """A start that was killed may have left it half begun: it is only called running once it is ready."""
    _check_address(settings)
    if not readiness.is_ready(settings):
        print("Punnet is being started already, and is not ready yet: waiting for it ...", flush=True)
        readiness.wait_ready(settings)
    place = f"at {readiness.url(settings)}" if settings.is_web else "as a worker machine"
    print(f"Punnet is running already {place}; nothing was started.")
    return 0


def _check_address(settings: Settings) -> None:
    """Raises StartError where it runs at another address than the settings tell by now."""
    file, wanted = settings.state.address, readiness.url(settings)
    address = file.read_text() if file.is_file() else wanted
    if settings.is_web and address != wanted:
        raise StartError(f"Punnet runs already, at {address}; to have it at {wanted}, run ./stop.sh first")


def _start(settings: Settings, foreground: bool) -> subprocess.Popen[bytes]:
    if Supervisor(settings).is_running():
        print("Finishing a stop that was interrupted ...", flush=True)
        stop(settings)
    _end_leftovers(settings)
    checks.check(settings)
    daemon = _launch(settings, foreground)
    readiness.wait_ready(settings)
    return daemon


def _stop_all(settings: Settings) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with processes.control_lock(settings.state_dir):
        stop(settings)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./start.sh", description="Start Punnet in the background.")
    parser.add_argument("--foreground", action="store_true", help="stay in the foreground; TERM stops all")
    parser.add_argument("--reload", action="store_true", help="follow changes of code and models (development)")
    return parser.parse_args()


def _end_leftovers(settings: Settings) -> None:
    """What a killed supervisord left, and the marks of a stop that was cut short."""
    left = processes.marked(settings.state_dir)
    if left:
        print(f"Ending {len(left)} processes that a killed supervisor left ...")
        processes.kill(left)
        processes.wait_gone(settings.state_dir, timeout_s=10)
    settings.state.draining.unlink(missing_ok=True)
    for folder in (settings.state.drained, settings.state.probes):
        shutil.rmtree(folder, ignore_errors=True)
    settings.state.catalogue.unlink(missing_ok=True)
    shutil.rmtree(settings.state.numbers, ignore_errors=True)  # what a power cut left of them may be anything
    for failed in settings.state.trials.glob("*.failed"):  # what failed may fail no longer: there may be more memory
        failed.unlink(missing_ok=True)


def _launch(settings: Settings, foreground: bool) -> subprocess.Popen[bytes]:
    variables = {"SUPERVISED": settings.state_dir, "STATE_DIR": settings.state_dir, "LOG_DIR": settings.log_dir,
                 "ROOT": ROOT, "PYTHON": shlex.quote(sys.executable),
                 "EMBEDDED": str(settings.embedded).lower(), "RELOAD": str(settings.reload).lower(),
                 "WEB": str(settings.is_web).lower(), "JOBS": str(settings.runs_jobs).lower(),
                 "STOP_WAIT_S": settings.stop_timeout_s + 10, "MINFDS": checks.open_files()}
    settings.state.patience.write_text(str(settings.stop_timeout_s))
    settings.state.address.write_text(readiness.url(settings))
    environment = os.environ | {PREFIX + name: str(value) for name, value in variables.items()}
    with os.fdopen(os.memfd_create("supervisord"), "w+b") as said:  # its tracebacks are not for the operator
        # Its own group: a terminal's Ctrl-C reaches this process, which stops all in order. It dies with this process
        # until it is a daemon: a killed start leaves nothing that is half begun.
        daemon = subprocess.Popen(supervisor.command(foreground), cwd=ROOT, env=environment, process_group=0,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL if foreground else said,
                                  preexec_fn=partial(die_with_parent, os.getpid()))
        if not foreground and daemon.wait() != 0:
            said.seek(0)
            words = said.read().decode(errors="replace").split()
            raise StartError(f"supervisord did not start: {' '.join(words)[-300:]}")
    return daemon


def _greeting(settings: Settings, models: list[dict[str, str]]) -> str:
    """What can be tried now, and what became, or is to become, of the other models."""
    ready = [model["name"] for model in models if model["state"] == "ready"]
    loading = [model["name"] for model in models if model["state"] == "loading"]
    failed = [f"\nModel {model['name']} cannot be served: {model['reason']}" for model in models
              if model["state"] == "failed"]
    head = f"{_place(settings)}{''.join(failed)}"
    tail = f"\nStill being tried and loaded, served as soon as that is done: {', '.join(loading)}" if loading else ""
    if not ready:
        return f"{head}{tail}\nNo model is served yet: put one at {settings.models_dir}/<name>/model.onnx; " \
               "it is taken up while Punnet runs."
    if not settings.is_web:
        return f"{head}\nModels: {', '.join(ready)}{tail}"
    return f"{head}\nTry it:\n  {_curl_line(settings, 'strawberry' if 'strawberry' in ready else ready[0])}{tail}"


def _place(settings: Settings) -> str:
    """What this machine does from now on."""
    if not settings.is_web:
        return f"Punnet runs jobs of the queue {settings.queue!r} here, {settings.job_workers} at a time"
    others = "" if settings.runs_jobs else f"; its jobs wait for machines with {PREFIX}ROLES=jobs"
    return f"Punnet is ready at {readiness.url(settings)}{others}"


def _curl_line(settings: Settings, model: str) -> str:
    url, key = readiness.url(settings).removeprefix("http://"), " -H 'X-API-Key: YOUR_KEY'" if settings.has_keys else ""
    sample = _sample(settings.image_root)
    if sample is None:
        return f"curl -X POST {url}/predict{key} -F model_type={model} -F img_file=@photo.jpg"
    option = "-d" if quote_plus(sample) == sample else "--data-urlencode"
    return f"curl -X POST {url}/predict{key} -d model_type={model} {option} {shlex.quote(f'img_file={sample}')}"


def _sample(root: Path | None) -> str | None:
    """The first image of the image root, relative to it."""
    found = sorted(path.name for path in root.glob("*") if path.suffix.lower() in IMAGES) if root else []
    return found[0] if found else None


if __name__ == "__main__":
    main()
