"""What the benchmarks share: a server of their own, its CPU time, pictures, tables."""

import contextlib
import io
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ops import processes
from ops.supervisor import Supervisor
from settings import PREFIX, ROOT, Settings

MODEL = "strawberry"
SAMPLES = ROOT / "samples"
PHOTOGRAPHS = ROOT.parent / "shared" / "data" / "strawberry" / "leaf"
PHOTOGRAPHS_PER_CLASS = 8
JPEG_QUALITY = 90
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat behind the program's name in brackets: 14 and 15 of the whole line.
UTIME, STIME = 11, 12


@dataclass(frozen=True)
class Server:
    """An instance with its own state folder and port, started or not."""

    settings: Settings
    environment: dict[str, str]

    @property
    def address(self) -> tuple[str, int]:
        return self.settings.host, self.settings.port

    def start(self) -> "subprocess.Popen[bytes]":
        """Run ./start.sh, without waiting for it; what it complains of goes to our stderr."""
        return subprocess.Popen(["./start.sh"], cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        subprocess.run(["./stop.sh"], cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, check=True)

    def workers_cpu_s(self) -> dict[int, float]:
        """CPU seconds (user and system, all threads) of each gunicorn worker so far, by pid."""
        arbiter = Supervisor(self.settings).pids()["gunicorn"]
        return {pid: process_cpu_s(pid) for pid in processes.children(arbiter)}


@contextlib.contextmanager
def instance() -> Iterator[Server]:
    """An instance that is not started yet, in temporary folders; stopped at the end in any case."""
    with tempfile.TemporaryDirectory(prefix="punnet-bench-") as folder:
        values = {"STATE_DIR": f"{folder}/state", "LOG_DIR": f"{folder}/log", "BIND": f"127.0.0.1:{free_port()}",
                  "API_KEYS": "", "REDIS_URL": ""}
        ours = {PREFIX + name: value for name, value in values.items()}
        settings = Settings(bind=values["BIND"], state_dir=Path(values["STATE_DIR"]), log_dir=Path(values["LOG_DIR"]))
        server = Server(settings, os.environ | ours)
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A started instance that answers."""
    with instance() as server:
        if server.start().wait() != 0:
            raise SystemExit("the server did not start")
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def process_cpu_s(pid: int) -> float:
    """User and system time of all threads of a process, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[UTIME]) + int(fields[STIME])) / TICKS_PER_S


def leaf_jpegs(side: int) -> list[bytes]:
    """Our drawn leaves, and photographs where they are at hand, as JPEGs of `side` pixels."""
    found = [sorted(SAMPLES.glob("*.jpg"))]
    found += [sorted(folder.glob("*.*"))[:PHOTOGRAPHS_PER_CLASS] for folder in sorted(PHOTOGRAPHS.glob("*"))]
    return [_resized(path, side) for paths in found for path in paths]


def _resized(path: Path, side: int) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").resize((side, side)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """First column to the left, the others to the right; floats with three digits."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *rest in cells:
        line = "  ".join(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print(f"{first:<{widths[0]}}  {line}")


def verdict(what: str, value: float, limit: float, unit: str) -> str:
    """One line that says whether a measured value keeps the issue's limit."""
    return f"{what}: {value:.2f} {unit}, limit {limit:g} {unit}: {'pass' if value <= limit else 'FELL SHORT'}"
