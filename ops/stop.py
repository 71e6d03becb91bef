"""`python -m ops.stop`: what stop.sh runs. Drain, let running work finish, end the rest, the queue server last."""

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path

from dotenv import dotenv_values

from ops import processes
from ops.supervisor import UNREACHABLE, Supervisor
from settings import PREFIX, ROOT, Settings, SettingsError, load_settings

POLL_S = 0.05
# Beyond the patience of the programs themselves: the pool's last look, supervisord's own loop.
MARGIN_S = 15
ORDER = ("reloader", "gunicorn", "workers", "predictors", "valkey")


def main() -> None:
    settings = _settings()
    if not settings.state_dir.is_dir():
        print("Punnet is not running.")
        return
    try:
        with processes.control_lock(settings.state_dir):
            stop(settings)
    except KeyboardInterrupt:
        sys.exit("punnet: interrupted; ./stop.sh again finishes the stop")


def _settings() -> Settings:
    """A setting that was made wrong while the service runs must not keep it from being stopped."""
    try:
        return load_settings()
    except SettingsError as error:
        print(f"punnet: {error}", file=sys.stderr)
        name = f"{PREFIX}STATE_DIR"
        state_dir = os.environ.get(name) or dotenv_values(ROOT / ".env").get(name)
        for other in [key for key in os.environ if key.startswith(PREFIX)]:
            del os.environ[other]
        os.environ[name] = state_dir or ""
        return Settings(_env_file=None)


def stop(settings: Settings) -> None:
    """Stop this instance, and only it; says what it did."""
    if not processes.marked(settings.state_dir):
        print("Punnet is not running.")
        return
    began = time.monotonic()
    daemon = Supervisor(settings)
    if daemon.is_running():
        with contextlib.suppress(*UNREACHABLE):
            _drain(settings, daemon)
            _stop_in_order(settings, daemon)
        with contextlib.suppress(*UNREACHABLE):
            daemon.shutdown()
        processes.wait_gone(settings.state_dir, MARGIN_S)
    _end_rest(settings)
    settings.state.draining.unlink(missing_ok=True)
    shutil.rmtree(settings.state.drained, ignore_errors=True)
    print(f"Punnet is stopped, after {time.monotonic() - began:.1f} s. Queued jobs stay for the next start.")


def _patience_s(settings: Settings) -> int:
    """As the instance was started with, which may be another shell's."""
    file = settings.state.patience
    return int(file.read_text()) if file.is_file() else settings.stop_timeout_s


def _drain(settings: Settings, daemon: Supervisor) -> None:
    """No new work; workers finish their jobs, gunicorn its requests, for as long as the patience lasts."""
    print(f"Draining: running work may take up to {_patience_s(settings)} s ...", flush=True)
    deadline = time.monotonic() + _patience_s(settings)
    settings.state.draining.touch()
    daemon.stop("workers", wait=False)
    arbiter = daemon.pids()["gunicorn"]
    while not _drained(arbiter, settings.state.drained) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _stop_in_order(settings: Settings, daemon: Supervisor) -> None:
    """One after the other, the queue server last; supervisord's own shutdown takes a second more for each."""
    for program, pid in sorted(daemon.pids().items(), key=lambda item: ORDER.index(item[0])):
        if pid:
            daemon.stop(program, wait=False)
            processes.wait_gone(settings.state_dir, _patience_s(settings) + MARGIN_S, only=pid)


def _drained(arbiter: int, drained_dir: Path) -> bool:
    """Whether every gunicorn worker has said that nothing is left to answer."""
    return all((drained_dir / str(pid)).exists() for pid in processes.children(arbiter))


def _end_rest(settings: Settings) -> None:
    """What supervisord did not end, or left when it was killed."""
    left = processes.marked(settings.state_dir)
    if left:
        print(f"Ending {len(left)} processes that did not stop by themselves.")
        processes.kill(left)
        processes.wait_gone(settings.state_dir, timeout_s=10)


if __name__ == "__main__":
    main()
