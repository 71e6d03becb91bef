"""Large bodies hold up nobody, and memory does not grow with the processes."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.integration.images import leaf
from tests.integration.server import BOUNDARY, Server, memory_mb, multipart, wait_until
from tests.integration.test_isolation import livez_times
from tests.onnx_models import heavy

pytestmark = pytest.mark.alone

MODEL_MB, REQUESTS = 150, 40
PREDICTORS, GROWTH = 8, 1.5  # of a group
SWAPS, SWAP_GROWTH_MB = int(os.environ.get("PUNNET_TEST_SWAPS", "3")), 20
CONNECTIONS, BODY_BYTES, LOAD_S = 16, 15_000_000, 5
LIVEZ_P99_S = 0.05
# An image with much behind it: receiving is the work. In a process of its own, so that it does not take the clock's
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
        assert answer.status in (200, 202, 503), answer.status

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
        p99_s = livez_p99_s(server, upload)
    print(f"/livez p99 while large uploads arrive: {p99_s * 1000:.0f} ms")
    assert p99_s < LIVEZ_P99_S


def livez_p99_s(server: Server, upload: Path) -> float:
    command = [sys.executable, "-c", SENDERS, str(server.port), str(upload)]
    done: list[subprocess.CompletedProcess] = []
    senders = threading.Thread(target=lambda: done.append(subprocess.run(command, check=False)))
    senders.start()
    times = sorted(livez_times(server, senders))
    assert done[0].returncode == 0
    assert len(times) > 50
    return times[len(times) * 99 // 100]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not tell shared memory")
def test_eight_predictors_a_group_take_hardly_more_memory_than_one(tmp_path: Path) -> None:
    heavy(tmp_path / "models" / "large" / "model.onnx", MODEL_MB)
    one, many = (megabytes_after_work(tmp_path, count) for count in (1, PREDICTORS))
    print(f"all processes: {one:.0f} MB with 1 predictor a group, {many:.0f} MB with {PREDICTORS}")
    assert MODEL_MB < one < many < GROWTH * one


def megabytes_after_work(folder: Path, predictors: int) -> float:
    """Of all processes of the service, after some work of each route."""
    settings = {"MODELS_DIR": folder / "models", "WORKERS": 1, "PREDICTORS": predictors, "JOB_WORKERS": predictors}
    with running(folder / str(predictors), **settings) as server:
        clients = [threading.Thread(target=post, args=(server, REQUESTS)) for _ in range(predictors)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        wait_until(lambda: not server.pids().get("other") or None, 20)  # the trials' process ends after 2 s
        return memory(server)


def post(server: Server, times: int) -> None:
    for number in range(times):
        answer = server.predict(leaf(), "large", mode="sync" if number % 4 else "async")
        assert answer.status in (200, 202)
        if answer.status == 202:
            assert server.job(answer.json["id"], wait_s=60)["state"] == "succeeded"


def is_served(server: Server, label: str) -> bool:
    return label in server.get("/models/large").json["labels"]


def memory(server: Server) -> float:
    return memory_mb(pid for pids in server.pids().values() for pid in pids)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not tell shared memory")
def test_memory_does_not_grow_with_the_swaps_of_a_model(tmp_path: Path) -> None:
    """The labels change, so the model is loaded anew; in between its predictors work. PUNNET_TEST_SWAPS=20 by hand."""
    folder = heavy(tmp_path / "models" / "large" / "model.onnx", MODEL_MB).parent
    with running(tmp_path, MODELS_DIR=folder.parent, WORKERS=1) as server:
        seen = []
        for swap in range(SWAPS + 1):
            (folder / "labels.txt").write_text(f"label{swap}\nother\n")
            wait_until(partial(is_served, server, f"label{swap}"), 60)
            post(server, 8)
            wait_until(lambda: len(server.pids()["template"]) == 1 or None, 20)
            seen.append(memory(server))
        print("MB after each swap:", *(f"{megabytes:.0f}" for megabytes in seen))
        assert seen[-1] - seen[0] < SWAP_GROWTH_MB
