"""What the parts cost without Punnet: one Flask view on gunicorn with gevent, one prediction in a native thread. No
forms, lanes, identifiers, costs, log or errors."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Flask, request
from gevent.threadpool import ThreadPool

from bench import machine
from bench.client import Address
from bench.floor import QUICK_MODEL
from bench.servers import free_port
from inference.engine import Engine
from ops import processes
from settings import ROOT, available_cores, load_settings

START_S = 60


def create_app() -> Flask:
    """In each of gunicorn's processes."""
    settings = load_settings()
    engine = Engine(settings.models_dir, settings.max_pixels)
    engine.load()
    model, threads = engine.model(QUICK_MODEL), ThreadPool(1)
    app, parameters = Flask(__name__), model.parameters({})

    @app.post("/predict")
    def predict() -> dict:
        image = request.get_data()
        return threads.apply(lambda: model.predict(engine.open(image), parameters)).result

    return app


@dataclass(frozen=True)
class BareFlask:
    """It, running."""

    address: Address
    arbiter: int

    def workers_cpu_s(self) -> dict[int, float]:
        """As `Server.workers_cpu_s`."""
        return {pid: machine.cpu_s(pid) for pid in processes.children(self.arbiter)}


@contextlib.contextmanager
def bare_flask() -> Iterator[BareFlask]:
    address = "127.0.0.1", free_port()
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gevent", "--workers", str(available_cores()),
               "--bind", f"127.0.0.1:{address[1]}", "--log-level", "error", "bench.bare_flask:create_app()"]
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, process_group=0) as arbiter:
        try:
            _wait_until_it_listens(address)
            yield BareFlask(address, arbiter.pid)
        finally:
            arbiter.terminate()


def _wait_until_it_listens(address: Address) -> None:
    """Its processes load the model before they take what waits."""
    until = time.monotonic() + START_S
    while True:
        try:
            return socket.create_connection(address).close()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
