"""One web machine, one queue server's machine and two worker machines, each in a network namespace of its own."""

import contextlib
import http.client
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from ops import queue_server
from tests.integration.images import leaf, white
from tests.integration.network import Network, network
from tests.integration.server import Server, wait_until
from tests.onnx_models import classifier

QUEUE = "farm"
SHARE_S = 10  # until a machine that joins has its share
RECOVERED_S = 40  # until what a lost machine ran is run elsewhere; 15 of them are its heartbeats'


@dataclass
class Farm:
    """The machines `web`, `redis`, `one` and `two`; only `two` has the model `rare`."""

    net: Network
    home: Path
    models_dir: Path
    machines: dict[str, Server] = field(default_factory=dict)

    @property
    def web(self) -> Server:
        return self.machines["web"]

    @property
    def redis(self) -> Redis:
        return Redis(self.net.machines["redis"], decode_responses=True)

    def add(self, name: str, roles: str, models_dir: Path) -> None:
        home = self.home / name
        home.mkdir()
        settings = {"ROLES": roles, "QUEUE": QUEUE, "REDIS_URL": f"redis://{self.net.machines['redis']}/0",
                    "MODELS_DIR": models_dir, "WORKERS": 1, "PREDICTORS": 1, "JOB_WORKERS": 1, "ALLOW_ANONYMOUS": 1}
        self.machines[name] = Server(home, settings, host=self.net.add(name), namespace=self.net.namespace(name))

    def whose(self, job_id: str) -> str:
        """The machine that executes a job, or did."""
        worker = cast(str | None, self.redis.hget(f"{QUEUE}:rq:job:{job_id}", "worker_name")) or ""
        pools = {name: self.machines[name].state_dir / "pool-name" for name in ("one", "two")}
        return next((name for name, file in pools.items() if file.exists() and worker.startswith(file.read_text())), "")

    def run(self, count: int) -> list[str]:
        """So many jobs, succeeded; the machines that ran them."""
        ids = [self.web.submit(leaf(), "strawberry") for _ in range(count)]
        assert [self.web.job(job_id, wait_s=30)["state"] for job_id in ids] == ["succeeded"] * count
        return [self.whose(job_id) for job_id in ids]


@pytest.fixture
def farm(tmp_path: Path, models_dir: Path) -> Iterator[Farm]:
    everything = tmp_path / "models"
    everything.mkdir()
    for model in models_dir.iterdir():
        if model.name != "sleep5":
            (everything / model.name).symlink_to(model.resolve())
    without = tmp_path / "without"
    without.mkdir()
    for model in everything.iterdir():
        (without / model.name).symlink_to(model.resolve())
    classifier(everything / "rare" / "model.onnx")
    with ExitStack() as stack:
        farm = Farm(stack.enter_context(network()), tmp_path, everything)
        address = farm.net.add("redis")
        command = ["ip", "netns", "exec", farm.net.namespace("redis"), queue_server.find(), "--bind", address,
                   "--protected-mode", "no", "--save", "", "--dir", str(tmp_path)]
        valkey = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        stack.callback(valkey.wait)
        stack.callback(valkey.kill)
        for name, roles, models in (("web", "web", everything), ("one", "jobs", without), ("two", "jobs", everything)):
            farm.add(name, roles, models)
        stack.callback(in_parallel, [machine.stop for machine in farm.machines.values()])
        in_parallel([farm.machines[name].start for name in ("web", "one")])
        yield farm


def in_parallel(calls: list[Any]) -> None:
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(call) for call in calls]:
            done.result()


def foreign_keys(redis: Redis) -> list[str]:
    return [name for name in map(str, redis.keys("*")) if not name.startswith(f"{QUEUE}:")]


def test_machines_come_and_go_and_are_cut_off_and_no_job_is_lost(farm: Farm) -> None:
    web = farm.web
    assert web.predict(leaf()).status == 200

    lost = web.submit(white(), "sleep2")
    rare = web.submit(leaf(), "rare")
    web.wait_for_state(lost, "processing")
    farm.net.cut("one")
    assert farm.whose(lost) == "one"
    assert web.job(rare)["waiting_for"] == "a worker machine that serves model 'rare'"
    waiting = [web.submit(leaf(), "strawberry") for _ in range(5)]

    farm.machines["two"].start()
    joined = time.monotonic()
    for job_id in (rare, *waiting):
        assert web.job(job_id, wait_s=SHARE_S)["state"] == "succeeded"
        assert farm.whose(job_id) == "two"
    assert time.monotonic() - joined < SHARE_S

    drop_the_queue_server(farm)

    again = wait_until(lambda: web.job(lost) if farm.whose(lost) == "two" else None, RECOVERED_S)
    farm.net.join("one")  # it has had the result for long, and is not heard with it
    assert again["state"] == "processing"
    ended = web.job(lost, wait_s=30)
    assert (ended["state"], farm.whose(lost)) == ("succeeded", "two")
    wait_until(lambda: "one" in farm.run(4) or None, SHARE_S)
    assert web.job(lost) == ended

    leave(farm)
    assert foreign_keys(farm.redis) == []


def drop_the_queue_server(farm: Farm) -> None:
    """Inline calls go on, jobs are refused, those who listen go on listening, and all comes back by itself."""
    job_id = farm.web.submit(white(), "sleep2")
    with contextlib.closing(http.client.HTTPConnection(farm.web.host, farm.web.port, timeout=60)) as listener:
        listener.request("GET", f"/jobs/{job_id}/events")
        heard = listener.getresponse()
        while b"processing" not in heard.readline():
            continue
        drop(farm)
        while (line := heard.readline()) and b"event: done" not in line:
            continue
        assert b'"state":"succeeded"' in heard.readline()


def drop(farm: Farm) -> None:
    farm.net.cut("redis")
    assert farm.web.predict(leaf()).status == 200
    refused = farm.web.predict(leaf(), mode="async")
    assert refused.is_problem(503, "queue-unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    farm.net.join("redis")


def leave(farm: Farm) -> None:
    """A machine that is stopped ends what it runs, and takes no more."""
    ids = [farm.web.submit(white(), "sleep2") for _ in range(3)]
    wait_until(lambda: {"one", "two"} <= {farm.whose(job_id) for job_id in ids} or None, 10)
    printed = farm.machines["two"].stop().stdout
    assert "Punnet is stopped" in printed
    own = [job_id for job_id in ids if farm.whose(job_id) == "two"]
    assert {farm.web.job(job_id)["state"] for job_id in own} == {"succeeded"}
    assert [farm.web.job(job_id, wait_s=30)["state"] for job_id in ids] == ["succeeded"] * 3
    assert set(farm.run(2)) == {"one"}
