"""One run: clients ask, processes die, and at last everything is looked at again."""

import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from bench.chaos.clients import Clients
from bench.chaos.jobs import SLOW_MODEL, SLOW_S, rights
from bench.chaos.kills import Killer
from bench.chaos.sink import Sink, listening
from settings import ROOT
from tests.integration.images import leaf
from tests.integration.server import Server, wait_until
from tests.onnx_models import sleeper

MEDIAN_LIMIT_S, WORST_LIMIT_S = 3.0, 20.0
TOLD_S = 120.0  # after the last end: a deliverer that died with a webhook in hand is waited for


@dataclass(frozen=True)
class Found:
    """What a run showed."""

    jobs: Counter[str]
    promoted: int
    webhooks: int
    answers: Counter[int | str]
    killed: Counter[str]
    recoveries_s: dict[str, list[float]]
    wrong: list[str] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return statistics.median(self._all_s) if self._all_s else 0.0

    @property
    def worst_s(self) -> float:
        return max(self._all_s, default=0.0)

    @property
    def _all_s(self) -> list[float]:
        return [one for found in self.recoveries_s.values() for one in found]

    @property
    def holds(self) -> bool:
        return not self.wrong and self.median_s < MEDIAN_LIMIT_S and self.worst_s < WORST_LIMIT_S


def prepare(server: Server) -> None:
    """The bundled models, and one that takes long on a white image."""
    models = server.home / "models"
    (models / SLOW_MODEL).mkdir(parents=True)
    for name in ("strawberry", "strawberry-fruit"):
        (models / name).symlink_to(ROOT / "models" / name)
    sleeper(models / SLOW_MODEL / "model.onnx", SLOW_S)
    server.settings |= {"MODELS_DIR": models, "WORKERS": 2, "JOB_WORKERS": 2, "WEBHOOK_PRIVATE": 1}


def run(server: Server, seed: int, seconds: float, jobs: int, clients: int, spared: Collection[str] = (),
        webhooks: bool = True) -> Found:
    """On a server that runs: until so many jobs were accepted, or so many seconds have passed."""
    with listening() as sink:
        asking = Clients(server, rights(server), sink, jobs, webhooks)
        killing = Killer(server, seed, spared)
        _work(asking, killing, seed, seconds, clients)
        wait_until(lambda: server.predict(leaf()).status == 200 or None, 30)
        asking.look_again()
        return _found(server, asking, killing, sink)


def _work(asking: Clients, killing: Killer, seed: int, seconds: float, clients: int) -> None:
    drawn = random.Random(seed)
    askers = [threading.Thread(target=asking.run, args=(drawn.getrandbits(32),)) for _ in range(clients)]
    killers = [threading.Thread(target=killing.run), threading.Thread(target=killing.watch)]
    until = time.monotonic() + seconds
    for thread in (*askers, *killers):
        thread.start()
    while time.monotonic() < until and any(thread.is_alive() for thread in askers):
        time.sleep(0.1)
    asking.stop.set()
    killing.stop.set()
    for thread in (*askers, *killers):
        thread.join()


def _found(server: Server, asking: Clients, killing: Killer, sink: Sink) -> Found:
    told = {job.id: job for job in asking.asked if job.webhook and job.seen}
    sink.wait_for(told, TOLD_S)
    wrong = asking.wrong + [f"{job.kind.name} {job_id}: {complaint}" for job_id, job in told.items()
                            if (complaint := sink.complaint(job_id))]
    return Found(Counter(f"{job.kind.name}, {job.seen['state'] if job.seen else 'hangs'}" for job in asking.asked),
                 server.log("error.log").count("goes on as job"), len(told), asking.statuses, killing.killed,
                 killing.recoveries_s, wrong)
