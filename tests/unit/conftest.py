"""Shared by the unit tests: settings of a temporary instance, small models, a fake queue server."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from flask.testing import FlaskClient
from redis import Redis
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from api import app as app_module
from api.services import Services
from inference.engine import Engine
from jobs.queue import JobQueue, JobRequest, make_queue, note_progress
from jobs.store import EndedImages, RedisStore
from settings import ROOT, Settings
from tests.onnx_models import classifier
from tests.unit.pictures import photo
from worker.pool import WarmWorker
from worker.runtime import Runtime, runtime

LABELS = ("healthy", "scorched")
MAX_PIXELS = 50_000_000
REQUEST = JobRequest("leaf", {"top_k": 5, "threshold": 0.0}, predicted_ms=100.0)
MakeSettings = Callable[..., Settings]
MakeClient = Callable[..., FlaskClient]


def runtime_of(engine: Engine, redis: Redis) -> Runtime:
    """A worker's, with the images in Redis."""
    ended = EndedImages(RedisStore(redis, "ended"), 60, 10**6)
    return Runtime(engine, RedisStore(redis), ended, partial(note_progress, redis), lambda news: {})


def work_off(redis: Redis, engine: Engine) -> None:
    """Run all waiting jobs, as a pool's child does; its signal handlers do not stay."""
    token = runtime.set(runtime_of(engine, redis))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        worker(redis, f"idle.{uuid.uuid4().hex}").work(burst=True, logging_level=None)
    finally:
        runtime.reset(token)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def start_running(redis: Redis, job_id: str, owner: str = "pool.child") -> Execution:
    """A worker takes the job at the head and does not come to an end."""
    queue, alive = make_queue(redis), worker(redis, owner)
    assert redis.lmove(queue.key, queue.intermediate_queue_key) == job_id.encode()
    job = Job.fetch(job_id, redis, JSONSerializer)
    execution = alive.prepare_execution(job)
    alive.prepare_job_execution(job, remove_from_intermediate_queue=True)
    return execution


def worker(redis: Redis, name: str = "pool.child") -> WarmWorker:
    return WarmWorker([make_queue(redis)], name=name, connection=redis, serializer=JSONSerializer)


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
    (tmp_path / "pictures").mkdir()

    def make(**given: Any) -> Settings:
        folders: dict[str, Any] = {"state_dir": tmp_path / "state", "models_dir": tmp_path / "models",
                   "image_root": tmp_path / "pictures", "redis_url": "redis://fake"}
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


@pytest.fixture(scope="session")
def engine(models_dir: Path) -> Engine:
    engine = Engine(models_dir, MAX_PIXELS)
    engine.measure_decoding()
    engine.load()
    return engine


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
def make_client(make_settings: MakeSettings, engine: Engine, server: fakeredis.FakeServer,
                monkeypatch: pytest.MonkeyPatch) -> MakeClient:
    """The whole application with given settings: the test's models, a fake queue server, what starts is started."""
    connect = lambda *_: fakeredis.FakeRedis(server=server)  # noqa: E731
    for name in ("front_client", "subscriber_client"):
        monkeypatch.setattr(app_module, name, connect)
    monkeypatch.setattr(app_module, "Engine", lambda *_: engine)
    monkeypatch.setattr(Engine, "measure_decoding", lambda self: None)

    def make(start: bool = True, **given: Any) -> FlaskClient:
        settings = make_settings(**({"quick_ms": 10_000, "inline_budget_ms": 20_000} | given))
        if settings.image_root:
            (settings.image_root / "leaf.jpg").write_bytes(photo())
        app = app_module.create_app(settings)
        if start:
            settings.state_dir.mkdir(exist_ok=True)
            app.extensions["punnet"].lanes.start()
            app.extensions["punnet"].events.start()
        return app.test_client()

    return make


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    return make_client()


def services_of(client: FlaskClient) -> Services:
    return client.application.extensions["punnet"]
