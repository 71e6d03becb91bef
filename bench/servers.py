"""A Punnet of its own for a benchmark: own state, logs and port; stopped at the end in any case."""

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine
from bench.client import Address
from settings import PREFIX, ROOT, Settings


@dataclass(frozen=True)
class Server:
    """An instance, started or not."""

    settings: Settings
    environment: dict[str, str]

    @property
    def address(self) -> Address:
        return self.settings.host, self.settings.port

    def start(self) -> "subprocess.Popen[bytes]":
        """Run ./start.sh, without waiting for it; what it complains of goes to our stderr."""
        return subprocess.Popen(["./start.sh"], cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        subprocess.run(["./stop.sh"], cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, check=True)

    def workers_cpu_s(self) -> dict[int, float]:
        """CPU seconds (user and system, all threads) of each gunicorn worker so far, by pid."""
        return {pid: machine.cpu_s(pid) for pid in machine.gunicorn_pids(self.settings)[1]}

    def gunicorn_pss_mb(self) -> float:
        """Arbiter and workers together."""
        arbiter, workers = machine.gunicorn_pids(self.settings)
        return machine.pss_mb([arbiter, *workers])


@contextlib.contextmanager
def instance(**settings: object) -> Iterator[Server]:
    """An instance that is not started yet, in temporary folders; `settings` are PUNNET_ variables in lower case."""
    with tempfile.TemporaryDirectory(prefix="punnet-bench-") as folder:
        own = {"state_dir": Path(folder) / "state", "log_dir": Path(folder) / "log",
               "bind": f"127.0.0.1:{free_port()}", "api_keys": "", "redis_url": ""}
        values: dict[str, Any] = own | settings
        environment = os.environ | {PREFIX + name.upper(): str(value) for name, value in values.items()}
        server = Server(Settings(**values), environment)
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def running_server(**settings: object) -> Iterator[Server]:
    """A started instance that answers."""
    with instance(**settings) as server:
        if server.start().wait() != 0:
            raise SystemExit("the server did not start")
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
