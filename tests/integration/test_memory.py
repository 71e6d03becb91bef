"""Large bodies hold up nobody, and memory does not grow with the processes."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.pictures import leaf
from tests.integration.server import BOUNDARY, Server, multipart
from tests.integration.test_isolation import livez_times
from tests.onnx_models import heavy

MODEL_MB, REQUESTS = 150, 100
PROCESSES, GROWTH = 8, 1.5
CONNECTIONS, BODY_BYTES, LOAD_S = 16, 15_000_000, 5
LIVEZ_P99_S = 0.05
# A picture with much behind it: receiving is the work. In a process of its own, so that it does not take the clock's
# interpreter.
SENDERS = f"""
import http.client, sys, threading, time
body, until = open(sys.argv[2], "rb").read(), time.monotonic() + {LOAD_S}

def send():
    client = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    while time.monotonic() < until:
        client.request("POST", "/predict", body, {{"Content-Type": "multipart/form-data; boundary={BOUNDARY}"}})
        answer = client.getresponse()
        answer.read()
        assert answer.status in (200, 503), answer.status

threads = [threading.Thread(target=send) for _ in range({CONNECTIONS})]
for thread in threads:
    thread.start()
"""


@contextmanager
def running(home: Path, **settings: object) -> Iterator[Server]:
    home.mkdir(exist_ok=True)
    server = Server(home, settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_livez_answers_while_large_uploads_arrive(tmp_path: Path, models_dir: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(multipart({"model_type": "strawberry"}, leaf() + bytes(BODY_BYTES)))
    with running(tmp_path, MODELS_DIR=models_dir, WORKERS=1) as server:
        command = [sys.executable, "-c", SENDERS, str(server.port), str(upload)]
        done: list[subprocess.CompletedProcess] = []
        senders = threading.Thread(target=lambda: done.append(subprocess.run(command, check=False)))
        senders.start()
        times = sorted(livez_times(server, senders))
    assert done[0].returncode == 0
    assert len(times) > 50
    assert times[len(times) * 99 // 100] < LIVEZ_P99_S


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not tell shared memory")
def test_eight_processes_take_hardly_more_memory_than_one(tmp_path: Path) -> None:
    heavy(tmp_path / "models" / "large" / "model.onnx", MODEL_MB)
    one, many = (megabytes_after_work(tmp_path, count) for count in (1, PROCESSES))
    assert MODEL_MB < one < many < GROWTH * one


def megabytes_after_work(folder: Path, processes: int) -> float:
    """Of gunicorn's processes together, what they share counted once, after some hundred requests each."""
    with running(folder / str(processes), MODELS_DIR=folder / "models", WORKERS=processes) as server:
        clients = [threading.Thread(target=post, args=(server, REQUESTS)) for _ in range(processes)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        roles = server.pids()
        return sum(map(proportional_megabytes, roles["gunicorn"] + roles["gunicorn child"]))


def post(server: Server, times: int) -> None:
    """On a connection each, so that all processes get some."""
    for _ in range(times):
        assert server.predict(leaf(), "large").status == 200


def proportional_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))
