"""The servers that are compared: Punnet, a bare Flask view, and three others with the same models, each of those in a
venv of its own. Each run has temporary folders and a port of its own, and is stopped at the end in any case."""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import images, machine
from bench.client import Address, multipart
from bench.peers.models import PREPROCESSING, QUICK
from ops import processes
from settings import PREFIX, ROOT, available_cores

VENVS = ROOT / "var" / "bench-venvs"
REQUIREMENTS = ROOT / "bench" / "peers"
START_S = 60
POLL_S = 0.02
WAIT_MAX_S = 600  # a request is held until its job has ended
PUNNET, BARE_FLASK = "Punnet", "bare Flask"
# What a peer does between the upload and the model (bench/peers/models.py).
WAYS = {"plain": "plain Pillow", "inference": "our preprocessing"}
# Program folder of a venv, port and number of processes -> how to start a server.
Command = Callable[[Path, int, int], list[str]]


@dataclass(frozen=True)
class Service:
    """A running server. All of its processes bear `mark` in their environment."""

    address: Address
    mark: Path

    def cpu_s(self) -> float:
        """CPU time of all processes so far."""
        return machine.cpu_s(processes.marked(self.mark))

    def pss_mb(self) -> float:
        """Memory of all processes."""
        return machine.pss_mb(processes.marked(self.mark))


@dataclass(frozen=True)
class Contender:
    """A server of the comparison. `path` is where it takes images for a model; only Punnet takes `fields`, the others
    do with an image what Punnet does without tiles."""

    label: str
    path: str
    run: Callable[[], AbstractContextManager[Service]]
    takes_fields: bool = False

    def request(self, model: str, image: bytes, fields: Mapping[str, str] | None = None) -> bytes:
        """The same upload for each server."""
        return multipart(self.path.format(model=model), image, fields if self.takes_fields else None)

    def quick_requests(self) -> list[bytes]:
        return [self.request(QUICK, image) for image in images.leaves()]


@dataclass(frozen=True)
class Peer:
    """Another server."""

    name: str
    command: Command

    @property
    def folder(self) -> Path:
        return VENVS / self.name.lower()

    @property
    def requirements(self) -> Path:
        return REQUIREMENTS / f"requirements-{self.name.lower()}.txt"

    @property
    def version(self) -> str:
        """The first line of the requirements names the server itself."""
        return self.requirements.read_text().splitlines()[0]


PEERS = (
    Peer("LitServe", lambda programs, port, workers: [
        f"{programs}/python", "-m", "bench.peers.litserve_server", str(port), str(workers)]),
    Peer("BentoML", lambda programs, port, workers: [
        f"{programs}/bentoml", "serve", "bench.peers.bentoml_service:Models", "--host", "127.0.0.1",
        "--port", str(port)]),
    Peer("FastAPI", lambda programs, port, workers: [
        f"{programs}/uvicorn", "bench.peers.fastapi_server:app", "--port", str(port), "--workers", str(workers),
        "--log-level", "warning", "--no-access-log"]),
)


def punnet(label: str = PUNNET, root: Path = ROOT, **settings: object) -> Contender:
    """The Punnet of a checkout; `settings` are PUNNET_ variables in lower case."""
    return Contender(label, "/models/{model}/predict", partial(running_punnet, root, **settings), takes_fields=True)


def bare_flask() -> Contender:
    """The least that Flask on gunicorn can be; it serves the quick model only."""
    return Contender(BARE_FLASK, "/{model}", partial(_running_command, _bare_flask, Path(sys.executable).parent))


def peers(plain: bool) -> list[Contender]:
    """The other servers with our `inference` package; with `plain` also as their own image examples do it."""
    return [Contender(f"{peer.name}, {name}", "/{model}",
                      partial(_running_command, peer.command, peer.folder / "bin", way))
            for peer in PEERS for way, name in WAYS.items() if plain or way != "plain"]


def prepare() -> None:
    """Make the peers' venvs where they are missing or their requirements changed."""
    for peer in PEERS:
        installed = peer.folder / "installed"
        if not installed.is_file() or installed.read_bytes() != peer.requirements.read_bytes():
            print(f"Installing {peer.version} into {peer.folder.relative_to(ROOT)} ...", flush=True)
            _make_venv(peer)
            shutil.copy(peer.requirements, installed)


@contextlib.contextmanager
def running_punnet(root: Path = ROOT, **settings: object) -> Iterator[Service]:
    """A Punnet that ./start.sh has started; what start.sh complains of goes to our stderr."""
    with tempfile.TemporaryDirectory(prefix="punnet-bench-") as name:
        state, port = Path(name).resolve() / "state", free_port()
        values = {"state_dir": state, "log_dir": Path(name) / "log", "bind": f"127.0.0.1:{port}", "api_keys": "",
                  "redis_url": "", "wait_max_s": WAIT_MAX_S} | settings
        run = partial(subprocess.run, cwd=root, stdout=subprocess.DEVNULL, check=True,
                      env=os.environ | {PREFIX + name.upper(): str(value) for name, value in values.items()})
        try:
            run(["./start.sh"])
            yield Service(("127.0.0.1", port), state)
        finally:
            run(["./stop.sh"])


def _make_venv(peer: Peer) -> None:
    shutil.rmtree(peer.folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", peer.folder], check=True)
    subprocess.run([peer.folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check",
                    "--requirement", peer.requirements], check=True)


def _bare_flask(programs: Path, port: int, workers: int) -> list[str]:
    return [f"{programs}/python", "-m", "gunicorn", "--worker-class", "gevent", "--workers", str(workers),
            "--bind", f"127.0.0.1:{port}", "--log-level", "error", "bench.bare_flask:create_app()"]


@contextlib.contextmanager
def _running_command(command: Command, programs: Path, preprocessing: str = "inference") -> Iterator[Service]:
    """Like Punnet's, the processes stay in the session of the client, whose share of the cores the kernel weighs by
    session."""
    workers, port = available_cores(), free_port()
    with tempfile.TemporaryDirectory(prefix="punnet-peer-") as folder:
        service, log = Service(("127.0.0.1", port), Path(folder)), Path(folder) / "log"
        environment = os.environ | {
            PREPROCESSING: preprocessing, "PUNNET_BENCH_WORKERS": str(workers), "PYTHONPATH": str(ROOT),
            "BENTOML_HOME": folder, "BENTOML_DO_NOT_TRACK": "True", "OPENBLAS_NUM_THREADS": "1",
            "ORT_DISABLE_TELEMETRY": "1", "PATH": f"{programs}:{os.environ['PATH']}", processes.MARK: folder}
        with log.open("wb") as file:
            server = subprocess.Popen(command(programs, port, workers), env=environment, cwd=ROOT, stdout=file,
                                      stderr=subprocess.STDOUT, process_group=0)
        try:
            _wait_ready(server, service.address, log)
            yield service
        finally:
            _end(server, service.mark)


def _wait_ready(server: "subprocess.Popen[bytes]", address: Address, log: Path) -> None:
    """Until something answers, whatever it says; the models are loaded by then, or their first request waits."""
    begin = time.monotonic()
    while not _answers(address):
        if server.poll() is not None or time.monotonic() - begin > START_S:
            raise SystemExit(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(POLL_S)


def _answers(address: Address) -> bool:
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=5)) as connection:
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
            return True
        except (OSError, http.client.HTTPException):
            return False


def _end(server: "subprocess.Popen[bytes]", mark: Path) -> None:
    """Processes that outlive their parent are found by their mark."""
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(10)
    processes.kill(processes.marked(mark))
    server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
