"""A change of the machines behind a proxy loses no request, and no job, though the proxy tries nothing twice."""

import http.client
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from ops import queue_server
from settings import ROOT
from tests.integration.images import white
from tests.integration.server import Answer, Server, free_port, wait_until
from tests.onnx_models import classifier

PROXY = """
global
  stats socket {folder}/haproxy.sock
defaults
  mode http
  retries 0
  option httpchk GET /readyz
  http-check expect status 200
  option http-server-close
  timeout connect 5s
  timeout check 5s
  timeout client 60s
  timeout server 60s
listen punnet
  bind 127.0.0.1:{port}
  server a 127.0.0.1:{a} check inter 500ms fall 2 rise 1
  server b 127.0.0.1:{b} check inter 500ms fall 2 rise 1
"""
needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None and not os.environ.get("CI"),
                                   reason="haproxy is not installed")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Server]]:
    """Two with the same queue server."""
    classifier(tmp_path / "models" / "quick" / "model.onnx")
    port = free_port()
    with ExitStack() as stack:
        redis = stack.enter_context(subprocess.Popen(
            [queue_server.find(), "--port", str(port), "--save", "", "--dir", str(tmp_path)],
            stdout=subprocess.DEVNULL))
        stack.callback(redis.terminate)
        both = [Server(tmp_path / name, {"MODELS_DIR": tmp_path / "models", "WORKERS": 2, "PREDICTORS": 1,
                                         "REDIS_URL": f"redis://127.0.0.1:{port}/0"}) for name in "ab"]
        for machine in both:
            machine.home.mkdir()
            stack.callback(machine.stop)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.start, both))
        yield both


@pytest.fixture
def proxy(tmp_path: Path, machines: list[Server]) -> Iterator[Server]:
    """Called as a server is."""
    front = Server(tmp_path / "front")
    file = tmp_path / "haproxy.cfg"
    file.write_text(PROXY.format(folder=tmp_path, port=front.port, a=machines[0].port, b=machines[1].port))
    with subprocess.Popen(["haproxy", "-f", file], stderr=subprocess.DEVNULL) as running:
        wait_until(lambda: front.get("/readyz").status == 200, 10)
        yield front
        running.terminate()


class Callers:
    """Post one image after the other, in turn for an answer and as jobs, until they are stopped."""

    def __init__(self, server: Server, number: int) -> None:
        self._server, self._ended = server, threading.Event()
        self.answers: list[Answer | Exception] = []
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[Answer | Exception]:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return self.answers

    def _call(self) -> None:
        for mode in (*["sync"] * 9, "async") * 10_000:
            if self._ended.is_set():
                return
            try:
                self.answers.append(self._server.predict(white(), "quick", mode=mode))
            except (OSError, http.client.HTTPException) as error:
                self.answers.append(error)
            time.sleep(0.05)


def hang_up(machine: Server) -> None:
    """HUP, as an operator sends it after a change of keys."""
    before = machine.pids()["web process"]
    subprocess.run([Path(sys.executable).parent / "supervisorctl", "-s",
                    f"unix://{machine.state_dir}/supervisor.sock", "signal", "HUP", "gunicorn"], cwd=ROOT, check=True)
    wait_until(lambda: not set(before) & set(machine.pids()["web process"]) or None, 20)


@needs_haproxy
def test_a_rolling_change_loses_nothing(machines: list[Server], proxy: Server) -> None:
    time.sleep(2)  # the proxy asks /readyz regularly, and the machines know it
    callers = Callers(proxy, 4)
    hang_up(machines[0])
    assert "before requests are refused: somebody asks it regularly" in machines[0].stop().stdout
    machines[0].start()
    time.sleep(1)  # until the proxy has seen it
    machines[1].stop()
    answers = callers.stop()
    failed = [answer for answer in answers if isinstance(answer, Exception) or answer.status not in (200, 202)]
    assert failed == [], f"{len(failed)} of {len(answers)}: {failed[0]}"
    jobs = [answer.json["id"] for answer in answers if isinstance(answer, Answer) and answer.status == 202]
    assert len(jobs) > 10
    assert {proxy.job(job_id, wait_s=30)["state"] for job_id in jobs} == {"succeeded"}
