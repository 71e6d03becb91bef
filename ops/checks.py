"""What must be true before a start: folders, room, descriptors, the port. Whatever is not is one line."""

import errno
import os
import resource
import socket
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from jobs import server_check
from jobs.room import Room
from ops import queue_server
from settings import MEGA, PREFIX, Settings
from state_dir import PRIVATE_FOLDER

LEAST_OPEN_FILES = 256  # below it connections are turned away and jobs crawl, without a word
OPEN_FILES = 16384  # for all connections that a web process may hold
LEAST_ROOM_BYTES = MEGA  # for process ids, the list of models and the queue server's first words
LOGS = ("access", "error", "predictors", "reloader", "supervisor", "valkey", "worker")


class StartError(Exception):
    """The service cannot be started; the text is one line for the person who tried."""


def check(settings: Settings) -> None:
    """What a service that is about to start needs of its machine. Raises StartError."""
    if settings.is_web:
        _check_port(settings)
    _check_open_files()
    _check_room(settings)
    if settings.embedded:
        try:
            queue_server.find()
        except queue_server.NoQueueServer as error:
            raise StartError(str(error)) from error
    else:
        _check_outside_server(settings)


def make_folders(settings: Settings) -> None:
    """Make what is ours, for us alone, and look at what must be there. Raises StartError."""
    for folder in (settings.state_dir, settings.state.spool, settings.state.ended, settings.state.results):
        _make(folder, "STATE_DIR")
    _make(settings.log_dir, "LOG_DIR")
    _make_private([settings.state_dir], PRIVATE_FOLDER)
    _make_private((file for name in LOGS for file in settings.log_dir.glob(f"{name}.log*")), 0o600)
    _check_written(settings.state_dir, "STATE_DIR")
    _check_written(settings.log_dir, "LOG_DIR")
    image_root = settings.image_root if settings.is_web else None
    for name, wanted in (("MODELS_DIR", settings.models_dir), ("IMAGE_ROOT", image_root)):
        if wanted is not None and not wanted.is_dir():
            raise StartError(f"{PREFIX}{name}={wanted}: there is no such folder")


def _check_outside_server(settings: Settings) -> None:
    """One that is away may come back; one that will never do stops the start. Raises StartError."""
    try:
        for line in server_check.warnings(settings):
            _warn(line)
    except server_check.UnfitServer as error:
        raise StartError(str(error)) from error


def _check_room(settings: Settings) -> None:
    """Kept images give way to a start on a full disk. Raises StartError."""
    room = Room(settings.state_dir, settings.state.ended)
    if room.make():
        return
    free = room.free_bytes()
    if free < LEAST_ROOM_BYTES:
        raise StartError(f"{PREFIX}STATE_DIR={settings.state_dir}: its disk is full ({free / MEGA:.1f} MB are free, "
                         f"{LEAST_ROOM_BYTES / MEGA:.0f} are needed): make room there; queued jobs are kept")
    _warn(f"the disk of {PREFIX}STATE_DIR={settings.state_dir} is nearly full ({free / MEGA:.1f} MB are free): "
          "accepted jobs run, new ones are refused until there is more room")


def _check_port(settings: Settings) -> None:
    """Raises StartError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
            probe.listen()
        except OSError as error:
            raise StartError(f"{PREFIX}BIND={settings.bind} cannot be used: {error.strerror or error}; "
                             "stop what has it, or choose another") from error


def open_files() -> int:
    """Enough for the connections of a web process, or what this machine allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)


def _check_open_files() -> None:
    if (allowed := open_files()) < LEAST_OPEN_FILES:
        raise StartError(f"a process may open {allowed} files here, at least {LEAST_OPEN_FILES} are needed and "
                         f"{OPEN_FILES} are best: raise it with `ulimit -n {OPEN_FILES}`, or LimitNOFILE= of systemd")


def _make(folder: Path, name: str) -> None:
    """With its parents: those that are made are ours too, which the umask sees to."""
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"{PREFIX}{name}: cannot make {folder}: {error.strerror}; choose another folder") from error


def _make_private(paths: Iterable[Path], mode: int) -> None:
    """What an earlier start, or somebody's umask, left open to others. A file that is not ours stays as it is."""
    for path in paths:
        found = path.stat()
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & ~mode:
            path.chmod(mode)


def _check_written(folder: Path, name: str) -> None:
    """Write a byte there. A full disk is left to `check_room`, and to the logs' reader: a service without logs is
    better than none."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise StartError(f"{PREFIX}{name}: cannot write to {folder}: {error.strerror}; "
                             "make it writable, or choose another folder") from error
        if name == "LOG_DIR":
            _warn(f"the disk of {PREFIX}LOG_DIR={folder} is full: nothing is logged until there is room")


def _warn(text: str) -> None:
    print(f"punnet: {text}", file=sys.stderr)
