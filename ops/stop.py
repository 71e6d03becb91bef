"""`python -m ops.stop`: what stop.sh runs. Drain, let running work finish, end the rest, the queue server last."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import probes
from ops import processes
from ops.given_settings import settings_for_a_stop, warn_of_misspelt
from ops.supervisor import MODULE, UNREACHABLE, Supervisor
from settings import Settings, SettingsError, load_settings
from state_dir import LEAVING, PRIVATE_UMASK

POLL_S = 0.05
# Beyond the patience of the programs themselves: the pool's last look, supervisord's own loop.
MARGIN_S = 15
ORDER = ("reloader", "gunicorn", "workers", "predictors", "valkey")


def main() -> None:
    os.umask(PRIVATE_UMASK)
    try:
        warn_of_misspelt()
        settings = _settings()
        with _lock(settings.state_dir):
            stop(settings)
    except KeyboardInterrupt:
        sys.exit("punnet: interrupted; ./stop.sh again finishes the stop")
    except SettingsError as error:
        sys.exit(f"punnet: {error}")
    except OSError as error:
        sys.exit(f"punnet: {error.filename or 'the system'}: {error.strerror or error}; "
                 "make it usable, then ./stop.sh again finishes the stop")


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        settings = settings_for_a_stop()
        print(f"punnet: {error}", file=sys.stderr)
        return settings


@contextmanager
def _lock(state_dir: Path) -> Iterator[None]:
    """No start at the same time. Where the folder was deleted under the service, or its disk has gone, no start can
    have the lock either."""
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(processes.control_lock(state_dir))
        yield


def stop(settings: Settings) -> None:
    """Stop this instance, and only it; says what it did. Raises OSError."""
    left = processes.marked(settings.state_dir)
    if not left:
        print("Punnet is not running.")
        return
    began = time.monotonic()
    daemon = Supervisor(settings)
    if daemon.is_running():
        with suppress(*UNREACHABLE):
            _drain(settings, daemon)
        with suppress(*UNREACHABLE):
            _stop_in_order(settings, daemon)
        with suppress(*UNREACHABLE):
            daemon.shutdown()
        processes.wait_gone(settings.state_dir, MARGIN_S)
    elif deaf := processes.running(MODULE, left):
        _stop_deaf(settings, deaf)
    _end_rest(settings)
    with suppress(OSError):  # the folder is gone, or read-only: the next start forgets what the stop left there
        settings.state.draining.unlink(missing_ok=True)
        shutil.rmtree(settings.state.drained, ignore_errors=True)
    print(f"Punnet is stopped, after {time.monotonic() - began:.1f} s. Queued jobs stay for the next start.")


def _stop_deaf(settings: Settings, supervisors: list[int]) -> None:
    """Its socket is gone, with the state folder or alone. A signal has it stop all programs in their order."""
    print(f"{settings.state_dir} was deleted under the service: stopping it without draining ...", flush=True)
    processes.end(supervisors)
    processes.wait_gone(settings.state_dir, _patience_s(settings) + MARGIN_S)


def _patience_s(settings: Settings) -> int:
    """As the instance was started with, which may be another shell's."""
    file = settings.state.patience
    return int(file.read_text()) if file.is_file() else settings.stop_timeout_s


def _drain(settings: Settings, daemon: Supervisor) -> None:
    """No new work; workers finish their jobs, gunicorn its requests, for as long as the patience lasts."""
    _leave(settings)
    print(f"Draining: running work may take up to {_patience_s(settings)} s ...", flush=True)
    deadline = time.monotonic() + _patience_s(settings)
    _say(settings, "")
    daemon.stop("workers", wait=False)
    arbiter = daemon.pids()["gunicorn"]
    while not _drained(arbiter, settings.state.drained) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _leave(settings: Settings) -> None:
    """Take new work, but say that there should be none, until proxies have noticed."""
    if settings.state.draining.exists():  # an interrupted stop goes on
        return
    seconds = probes.seconds_until_seen(probes.read(settings.state.probes), time.monotonic())
    if seconds:
        print(f"/readyz says 503 for {seconds:.0f} s before requests are refused: somebody asks it regularly ...",
              flush=True)
        with suppress(OSError):  # the disk is full: then it says so a little later, while requests are refused
            _say(settings, LEAVING)
            time.sleep(seconds)


def _say(settings: Settings, word: str) -> None:
    """At once, in one piece."""
    partial = settings.state_dir / "draining.partial"
    partial.write_text(word)
    partial.rename(settings.state.draining)


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
