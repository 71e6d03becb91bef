"""Shared by the unit tests: settings of a temporary instance, small models, a fake queue server."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import fakeredis
import pytest
from flask.testing import FlaskClient
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError
from rq.executions import Execution

from api import app as app_module
from api.services import Services
from jobs.images import Images
from jobs.job import JobRequest
from jobs.progress import note_progress
from jobs.queue import JobQueue
from jobs.results import Results
from jobs.store import RedisStore
from jobs.stores.contract import SPOOL
from jobs.turns import make_queue
from metrics.numbers import Numbers
from predictors import catalogue
from settings import ROOT, Settings
from tests.onnx_models import classifier
from tests.unit.fake_predictors import LISTING, FakePredictors
from tests.unit.images import photo
from worker.tasks import OffSwitch, Tasks
from worker.worker import Worker

LABELS = ("healthy", "scorched")
MAX_PIXELS = 50_000_000
REQUEST = JobRequest("leaf", {"top_k": 5, "threshold": 0.0}, predicted_ms=100.0)
MakeSettings = Callable[..., Settings]
MakeClient = Callable[..., FlaskClient]


def tasks_of(redis: Redis, predictors: FakePredictors | None = None) -> Tasks:
    """What a worker runs jobs with: the images are in Redis, and a fake answers."""
    store = RedisStore(redis)
    return Tasks(cast(Any, predictors or FakePredictors()), cast(Any, SimpleNamespace(is_ready=True, fingerprints={})),
                 Images(store), Results(store), partial(note_progress, make_queue(redis)), lambda news: None,
                 lambda: None, Numbers(Path("/nonexistent")))


def stored(redis: Redis, folder: str = SPOOL) -> list[str]:
    """The jobs whose images lie there."""
    return [entry.name for entry in RedisStore(redis).entries(folder)]


def worker(redis: Redis, name: str = "pool.child", predictors: FakePredictors | None = None) -> Worker:
    return Worker(make_queue(redis), name, tasks_of(redis, predictors))


def work_off(redis: Redis, predictors: FakePredictors | None = None) -> None:
    """Run all waiting jobs, as a pool's child does; its signal handlers do not stay."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        worker(redis, f"idle.{uuid.uuid4().hex}", predictors).work(burst=True, logging_level=None)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def start_running(redis: Redis, job_id: str, owner: str = "pool.child", asked: str = "") -> Execution:
    """A worker takes the job at the head and does not come to an end."""
    queue = make_queue(redis)
    assert redis.lmove(queue.key, queue.intermediate_queue_key) == job_id.encode()
    execution = worker(redis, owner)._begin(job_id, OffSwitch(), asked)
    assert execution is not None
    return execution


def refuse_writes(monkeypatch: pytest.MonkeyPatch, times: int = 10**9) -> None:
    """So many transactions are answered as by a server whose disk is full."""
    left = [times]
    execute = Pipeline.execute

    def refuse(self: Pipeline, raise_on_error: bool = True) -> list[Any]:
        left[0] -= 1
        if left[0] < 0:
            return execute(self, raise_on_error)
        self.reset()
        raise ResponseError("MISCONF Errors writing to the AOF file: No space left on device")

    monkeypatch.setattr(Pipeline, "execute", refuse)


def in_child(code: str, **variables: str) -> str:
    """What `code` prints in a Python process of its own."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | variables, capture_output=True,
                          text=True, timeout=150)  # a thousand forks on a busy machine take 40
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PUNNET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    (tmp_path / "images").mkdir()

    def make(**given: Any) -> Settings:
        folders: dict[str, Any] = {"state_dir": tmp_path / "state", "models_dir": tmp_path / "models",
                   "image_root": tmp_path / "images", "redis_url": "redis://fake"}
        return Settings(**(folders | given))

    return make


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings()


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`leaf` serves, `empty` cannot."""
    folder = tmp_path_factory.mktemp("models")
    classifier(folder / "leaf" / "model.onnx")
    (folder / "leaf" / "labels.txt").write_text("\n".join(LABELS))
    (folder / "empty").mkdir()
    (folder / "empty" / "model.onnx").touch()
    return folder


@pytest.fixture
def server() -> fakeredis.FakeServer:
    """What lies behind `redis`; with `connected = False` it is away."""
    return fakeredis.FakeServer()


@pytest.fixture
def redis(server: fakeredis.FakeServer) -> Redis:
    return fakeredis.FakeRedis(server=server)


@pytest.fixture
def queue(redis: Redis, settings: Settings) -> JobQueue:
    return JobQueue(redis, RedisStore(redis), settings)


@pytest.fixture
def predictors() -> FakePredictors:
    return FakePredictors()


@pytest.fixture
def make_client(make_settings: MakeSettings, predictors: FakePredictors, server: fakeredis.FakeServer,
                monkeypatch: pytest.MonkeyPatch) -> MakeClient:
    """The whole application with given settings: fake predictors, a fake queue server, what starts is started."""
    connect = lambda *_: fakeredis.FakeRedis(server=server)  # noqa: E731
    for name in ("web_client", "subscriber_client"):
        monkeypatch.setattr(app_module, name, connect)
    monkeypatch.setattr(app_module, "Predictors", lambda *_: predictors)

    def make(start: bool = True, **given: Any) -> FlaskClient:
        settings = make_settings(**({"quick_ms": 10_000, "inline_budget_ms": 20_000} | given))
        if settings.image_root:
            (settings.image_root / "leaf.jpg").write_bytes(photo())
        settings.state_dir.mkdir(exist_ok=True)
        catalogue.write(settings.state.catalogue, LISTING)
        service = services_of(client := app_module.create_app(settings).test_client())
        for part in (service.intake, service.waiting, service.events, service.following) if start else ():
            part.start()
        return client

    return make


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    return make_client()


def services_of(client: FlaskClient) -> Services:
    return client.application.extensions["punnet"]
