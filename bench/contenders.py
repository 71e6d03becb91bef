"""The servers that are compared: Punnet, and three others with the same models, each in a venv of its own."""

import contextlib
import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import messages
from bench.client import Address
from bench.peers.models import PREPROCESSING
from bench.servers import free_port, running_server
from ops import processes
from settings import ROOT, available_cores

VENVS = ROOT / "var" / "bench-venvs"
REQUIREMENTS = ROOT / "bench" / "peers"
START_S = 60
POLL_S = 0.1
PUNNET = "Punnet"
# What a peer does between the upload and the model (bench/peers/models.py).
WAYS = {"plain": "plain Pillow", "inference": "our preprocessing"}
Command = Callable[[Path, int, int], list[str]]


@dataclass(frozen=True)
class Contender:
    """A server of the comparison. `path` is where it takes pictures for a model; only Punnet takes `fields`, the
    others do with a picture what Punnet does without tiles."""

    name: str
    path: str
    run: Callable[[], AbstractContextManager[Address]]
    preprocessing: str = "inference"

    @property
    def is_punnet(self) -> bool:
        return self.name == PUNNET

    @property
    def label(self) -> str:
        return self.name if self.is_punnet else f"{self.name}, {WAYS[self.preprocessing]}"

    def request(self, model: str, picture: bytes, fields: Mapping[str, str] | None = None) -> bytes:
        """The same upload for each server."""
        return messages.multipart(self.path.format(model=model), picture, fields if self.is_punnet else None)


@dataclass(frozen=True)
class Peer:
    """Another server: its command gets its venv's programs, a port and how many processes it may have."""

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
        """The first line names the server itself."""
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


def contenders(peers: bool, plain: bool) -> list[Contender]:
    """Punnet, and the others with our `inference` package; with `plain` also as their own image examples do it."""
    ways = [way for way in WAYS if plain or way != "plain"]
    found = [Contender(peer.name, "/{model}", partial(_running_peer, peer, way), way)
             for peer in PEERS for way in ways if peers]
    return [Contender(PUNNET, "/models/{model}/predict", _running_punnet), *found]


def prepare() -> None:
    """Make the peers' venvs where they are missing or their requirements changed."""
    for peer in PEERS:
        stamp, wanted = peer.folder / "installed", hashlib.sha256(peer.requirements.read_bytes()).hexdigest()
        if not stamp.is_file() or stamp.read_text() != wanted:
            print(f"Installing {peer.version} into {peer.folder.relative_to(ROOT)} ...", flush=True)
            _make_venv(peer)
            stamp.write_text(wanted)


def _make_venv(peer: Peer) -> None:
    shutil.rmtree(peer.folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", peer.folder], check=True)
    subprocess.run([peer.folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check",
                    "--requirement", peer.requirements], check=True)


@contextlib.contextmanager
def _running_punnet() -> Iterator[Address]:
    with running_server(wait_max_s=600) as server:
        yield server.address


@contextlib.contextmanager
def _running_peer(peer: Peer, preprocessing: str) -> Iterator[Address]:
    """Its processes bear a mark, by which those are found that outlive their parent. Like Punnet's they stay in the
    session of the client, whose share of the cores the kernel weighs by session."""
    workers, port = available_cores(), free_port()
    with tempfile.TemporaryDirectory(prefix="punnet-peer-") as folder:
        environment = os.environ | {
            PREPROCESSING: preprocessing, "PUNNET_BENCH_WORKERS": str(workers), "PYTHONPATH": str(ROOT),
            "BENTOML_HOME": folder, "BENTOML_DO_NOT_TRACK": "True", "OPENBLAS_NUM_THREADS": "1",
            "PATH": f"{peer.folder / 'bin'}:{os.environ['PATH']}", processes.MARK: folder}
        with Path(f"{folder}/log").open("wb") as log:
            server = subprocess.Popen(peer.command(peer.folder / "bin", port, workers), env=environment, cwd=ROOT,
                                      stdout=log, stderr=subprocess.STDOUT, process_group=0)
        try:
            _wait_ready(peer, server, ("127.0.0.1", port), Path(f"{folder}/log"))
            yield "127.0.0.1", port
        finally:
            _end(server, Path(folder))


def _wait_ready(peer: Peer, server: "subprocess.Popen[bytes]", address: Address, log: Path) -> None:
    """Until something answers, whatever it says; the models are loaded by then, or their first request waits."""
    begin = time.monotonic()
    while not _answers(address):
        if server.poll() is not None or time.monotonic() - begin > START_S:
            raise SystemExit(f"{peer.name} did not start:\n{log.read_text(errors='replace')[-2000:]}")
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
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(10)
    processes.kill(processes.marked(mark))
    server.wait()
