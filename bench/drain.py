"""How fast the workers go through a backlog: with the quick model against the bare loop on all cores, with a model that
does next to nothing against RQ's own workers, and against what the store of images allows."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from redis import Redis

from bench import bare_workers, images
from bench.client import Address, each_once, get, multipart
from bench.floor import Floor, Work
from bench.page import Check, Section, Table
from bench.peers.models import QUICK
from bench.servers import Service, running_punnet
from bench.stats import median_of, median_ratio
from bench.workload import Measured, Options
from jobs.store import make_store
from settings import ROOT, Settings, available_cores
from tests.integration.images import white
from tests.onnx_models import classifier

NOTHING = "nothing"  # a model of a few multiplications
JOBS, CONNECTIONS, FLOOR_S = 400, 4, 5.0
STORED_BYTES, STORED = 50_000, 500
FLOOR_LIMIT, BARE_LIMIT, STORE_LIMIT = 0.85, 0.7, 5.0
TEXT = """\
A backlog of small jobs, accepted while the workers are suspended (`rq suspend`), then worked off: jobs a second from
the first start to the last end. With the quick model beside the same prediction in a bare loop, one process per core;
with a model that does next to nothing beside as many of RQ's own SimpleWorkers on jobs that add two numbers, on the
same queue server. Store: an image of 50 kB put, read, kept and deleted, in one process."""


def measure(options: Options) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        models = _models(Path(folder))
        with running_punnet(models_dir=models, queue_max_jobs=10 * JOBS) as service, Floor() as floor:
            return {"rounds": [_round(service, floor, options) for _ in range(options.rounds)]}


def section(measured: Measured) -> Section:
    rounds = measured["rounds"]
    quick, nothing = (median_ratio(rounds, *names) for names in (("quick", "floor"), ("nothing", "bare")))
    store = median_ratio(rounds, "store", "nothing")
    speeds = Table(("a backlog of", "jobs per second", "beside it", "per second", "ratio"), (
        ("quick jobs", median_of(rounds, "quick"), "bare loop", median_of(rounds, "floor"), quick),
        ("jobs that do nothing", median_of(rounds, "nothing"), "RQ's workers", median_of(rounds, "bare"), nothing),
        ("jobs that do nothing", median_of(rounds, "nothing"), "store", median_of(rounds, "store"), store)))
    checks = (Check("a backlog of quick jobs against the bare loop", quick, FLOOR_LIMIT, "x", at_least=True),
              Check("jobs that do nothing against RQ's own workers", nothing, BARE_LIMIT, "x", at_least=True),
              Check("the store of images against jobs that do nothing", store, STORE_LIMIT, "x", at_least=True))
    return Section("drain: a backlog of small jobs", TEXT, (speeds,), checks)


def _models(folder: Path) -> Path:
    (folder / QUICK).symlink_to(ROOT / "models" / QUICK)
    classifier(folder / NOTHING / "model.onnx")
    return folder


def _round(service: Service, floor: Floor, options: Options) -> dict[str, Any]:
    """Each beside what it is compared with."""
    count, leaves = options.count(JOBS), images.leaves()
    return {"quick": _drained_per_s(service, QUICK, leaves, count),
            "floor": floor.run(Work(leaves), options.seconds(FLOOR_S)).per_s,
            "nothing": _drained_per_s(service, NOTHING, [white(32)], count),
            "bare": bare_workers.per_s(_socket(service), count), "store": _stored_per_s(options.count(STORED))}


def _drained_per_s(service: Service, model: str, leaves: list[bytes], count: int) -> float:
    requests = [multipart(f"/models/{model}/predict", images.apart(leaves[number % len(leaves)]), {"mode": "async"})
                for number in range(count)]
    with _suspended(_socket(service)):
        load = each_once(service.address, requests, CONNECTIONS)
    if load.others:
        raise RuntimeError(f"not accepted: {load.others}")
    ended = [_end(service.address, json.loads(answer.body)) for answer in load.good]
    spans = sorted((_moment(job["started_at"]), _moment(job["completed_at"])) for job in ended)
    return bare_workers.rate_per_s(spans[available_cores():])  # the first were taken before the suspension was seen


@contextmanager
def _suspended(socket: str) -> Iterator[None]:
    client = Redis(unix_socket_path=socket)
    client.set("rq:suspended", 1)
    time.sleep(1.5)  # a worker looks once a second
    try:
        yield
    finally:
        client.delete("rq:suspended")


def _end(address: Address, job: dict[str, Any]) -> dict[str, Any]:
    while True:
        _, document = get(address, f"{job['urls']['get']}?wait=60")
        if document["state"] == "succeeded":
            return document
        if document["completed_at"] is not None:
            raise RuntimeError(f"a job ended as {document['state']}")


def _stored_per_s(count: int) -> float:
    """What becomes of a job's image."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=Path(folder))
        for name in (settings.state.spool, settings.state.ended, settings.state.results):
            name.mkdir()
        store, data, began = make_store(Redis(), settings), bytes(STORED_BYTES), time.perf_counter()
        for number in range(count):
            store.put(f"spool/{number}", data)
            store.get(f"spool/{number}")
            store.rename(f"spool/{number}", f"ended/{number}")
        store.delete(*(f"ended/{number}" for number in range(count)))
        return count / (time.perf_counter() - began)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _socket(service: Service) -> str:
    return str(service.mark / "valkey.sock")
