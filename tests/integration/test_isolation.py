"""What one client does is not felt by the others."""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.images import leaf, white
from tests.integration.server import Server, wait_until
from tests.onnx_models import classifier, heavy

pytestmark = pytest.mark.alone

LIVEZ_LIMIT_S = 0.05


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    """One web process, so that all clients meet in it, and one predictor a group."""
    settings = {"MODELS_DIR": models_dir, "WORKERS": 1, "PREDICTORS": 1, "QUICK_MS": 40, "INLINE_BUDGET_MS": 60_000}
    running = Server(tmp_path_factory.mktemp("one-process"), settings)
    running.start()
    yield running
    running.stop()


@contextmanager
def in_background(call: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=call)
    thread.start()
    yield thread
    thread.join(timeout=60)
    assert not thread.is_alive()


def livez_times(server: Server, while_alive: threading.Thread) -> list[float]:
    """Seconds of one /livez after the other on one connection."""
    connection, times = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10), []
    while while_alive.is_alive():
        began = time.monotonic()
        connection.request("GET", "/livez")
        assert connection.getresponse().read()
        times.append(time.monotonic() - began)
        time.sleep(0.01)
    connection.close()
    return times


def test_livez_answers_while_a_2_second_inference_runs_inline(one_process: Server) -> None:
    with in_background(lambda: one_process.predict(white(), "sleep2")) as inference:
        times = livez_times(one_process, inference)
    assert len(times) > 20
    assert max(times) < LIVEZ_LIMIT_S


def test_a_quick_image_is_answered_while_the_long_route_is_taken(one_process: Server) -> None:
    """16 white megapixels are predicted above QUICK_MS, and take the sleeper's two seconds on the long route."""
    with in_background(lambda: one_process.predict(white(4000), "sleep2")) as long_call:
        answered = 0
        while long_call.is_alive():
            assert one_process.predict(leaf()).json["timings_ms"]["queue"] < 500
            answered += 1
    assert answered > 5


def test_livez_answers_while_a_model_of_150_mb_is_loaded(tmp_path: Path) -> None:
    """A generation's template loads it, beside the web process."""
    models = tmp_path / "models"
    classifier(models / "small" / "model.onnx")
    server = Server(tmp_path, {"MODELS_DIR": models, "WORKERS": 1})
    server.start()
    try:
        (models / "large").mkdir()
        heavy(tmp_path / "large.onnx", 150).replace(models / "large" / "model.onnx")
        with in_background(lambda: wait_until(lambda: is_ready(server, "large"), 60)) as loading:
            times = livez_times(server, loading)
        assert len(times) > 20
        assert max(times) < LIVEZ_LIMIT_S
        assert server.predict(leaf(), "large").status == 200
    finally:
        server.stop()


def test_an_image_on_which_a_model_never_ends_does_not_take_the_route_for_good(own_server: Server) -> None:
    own_server.settings |= {"JOB_TIMEOUT_S": 2, "WORKERS": 1, "PREDICTORS": 1, "INLINE_BUDGET_MS": 60_000}
    own_server.start()
    assert own_server.predict(white(), "sleep5").is_problem(504, "deadline")
    assert own_server.predict(leaf()).status == 200


def is_ready(server: Server, name: str) -> bool:
    return {"name": name, "state": "ready"}.items() <= server.get(f"/models/{name}").json.items()


SENDER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30) as client:
    client.sendall(b"POST /predict HTTP/1.1\\r\\nHost: [::1]\\r\\nContent-Type: image/jpeg\\r\\nConnection: close\\r\\n"
                   b"Content-Length: 400000000\\r\\n\\r\\n")
    for _ in range(400):
        client.sendall(bytes(1_000_000))
"""


def test_livez_answers_while_a_400_mb_body_is_being_refused(one_process: Server) -> None:
    command = [sys.executable, "-c", SENDER, str(one_process.port)]
    with in_background(lambda: subprocess.run(command, check=True)) as sender:
        times = livez_times(one_process, sender)
    assert max(times) < LIVEZ_LIMIT_S


def test_a_stopped_queue_server_leaves_inline_work_and_readiness(own_server: Server) -> None:
    own_server.start()
    job_id = own_server.submit(leaf(), "strawberry")
    own_server.job(job_id, wait_s=30)
    valkey = own_server.pids()["valkey"][0]
    os.kill(valkey, 19)  # SIGSTOP: frozen, it accepts connections and never answers
    try:
        assert own_server.predict(leaf()).status == 200
        assert own_server.get("/readyz").status == 200
        began = time.monotonic()
        answer = own_server.predict(leaf(), mode="async")
        assert answer.is_problem(503, "queue-unavailable")
        assert answer.headers["Retry-After"]
        assert own_server.get(f"/jobs/{job_id}").is_problem(503, "queue-unavailable")
        assert time.monotonic() - began < 5
    finally:
        os.kill(valkey, 18)  # SIGCONT
    wait_until(lambda: own_server.predict(leaf(), mode="async").status == 202 or None, 10)
