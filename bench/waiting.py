"""Thousands of callers who wait for jobs: what each of them costs, and how late he is told of his job's end."""

import contextlib
import itertools
import json
import math
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import images, machine
from bench.callers import EVENTS, WAIT, calling, request
from bench.client import each_once, multipart
from bench.page import Check, Section, Table
from bench.peers.models import QUICK
from bench.servers import Service, running_punnet
from bench.stats import median_of, percentile
from bench.workload import Measured, Options
from ops import processes
from settings import ROOT
from state_dir import StateDir

CALLERS, WEB_PROCESSES = 5000, 2
JOBS = {"500 jobs": 500, "one job": 1}  # that the callers share; one address may not fill the queue alone
KINDS = (WAIT, EVENTS)
WARM_UP, SUBMITTERS = 200, 4
LATE_LIMIT_S, KB_LIMIT = 1.0, 20.0
INFO_BYTES = 1 << 16
TEXT = f"""\
{CALLERS} callers from one address on {WEB_PROCESSES} web processes, half with `?wait=`, half with events. The jobs are
submitted while no worker runs; once all callers wait, the workers are started. Late: from a job's `completed_at` until
its caller has the answer, or the event `done`. Memory: what the web processes' resident sets grew by, for each caller.
Connections: clients of the queue server while all wait, and before."""
Round = dict[str, Any]


def measure(options: Options) -> Measured:
    return {name: [_round(options.count(jobs), options.count(CALLERS)) for _ in range(options.rounds)]
            for name, jobs in JOBS.items()}


def section(measured: Measured) -> Section:
    rows, checks = [], []
    for name, rounds in measured.items():
        worst_s, kb = max(one["worst_s"] for one in rounds), median_of(rounds, "kb")
        rows.append((name, *(median_of(rounds, f"{kind} p50_s") for kind in KINDS), worst_s, kb,
                     f"{rounds[0]['clients']}, {rounds[0]['clients_before']}", sum(one["lost"] for one in rounds)))
        checks += [Check(f"{name}: told late, the last of all", worst_s, LATE_LIMIT_S, "s"),
                   Check(f"{name}: memory for each caller", kb, KB_LIMIT, "kB")]
    heads = ("callers of", "wait, p50 s late", "events, p50 s late", "the last", "kB each", "connections", "never told")
    return Section("waiting: callers who wait for jobs", TEXT, (Table(heads, tuple(rows)),), tuple(checks))


def _round(jobs: int, callers: int) -> Round:
    with running_punnet(workers=WEB_PROCESSES, wait_max_s=300) as service:
        _submitted(service, WARM_UP)
        with _without_workers(service):
            ids = _submitted(service, jobs)
            before_kb, clients_before = _web_kb(service), _clients(service)
            asked = [(kind, request(service.address, kind, ids[number // len(KINDS) % jobs]))
                     for number, kind in zip(range(callers), itertools.cycle(KINDS), strict=False)]
            with calling(service.address, asked) as told:
                kb, clients = (_web_kb(service) - before_kb) / callers, _clients(service)
                _supervisor(service, "start")
                return _figures(told()) | {"kb": kb, "clients": clients, "clients_before": clients_before}


def _figures(told: Sequence[tuple[str, float]]) -> Round:
    late = {kind: [late_s for one, late_s in told if one == kind and not math.isnan(late_s)] for kind in KINDS}
    everybody = [late_s for times in late.values() for late_s in times]
    return {f"{kind} p50_s": percentile(times, 50) for kind, times in late.items()} | {
        "worst_s": max(everybody, default=math.inf), "lost": len(told) - len(everybody)}


def _submitted(service: Service, count: int) -> list[str]:
    """The ids of so many new jobs. A number behind the image tells it from the others, which is so computed itself."""
    leaves = itertools.islice(itertools.cycle(images.leaves()), count)
    submissions = (multipart(f"/models/{QUICK}/predict", image + str(number).encode(), {"mode": "async"})
                   for number, image in enumerate(leaves))
    return [json.loads(answer.body)["id"] for answer in each_once(service.address, submissions, SUBMITTERS).good]


@contextlib.contextmanager
def _without_workers(service: Service) -> Iterator[None]:
    _supervisor(service, "stop")
    try:
        yield
    finally:
        _supervisor(service, "start", check=False)


def _supervisor(service: Service, what: str, check: bool = True) -> None:
    program = Path(sys.executable).parent / "supervisorctl"
    subprocess.run([program, "-s", f"unix://{service.mark}/supervisor.sock", what, "workers"], cwd=ROOT, check=check,
                   stdout=subprocess.DEVNULL)


def _web_kb(service: Service) -> float:
    """Memory of the web processes: those of gunicorn's that another one is the parent of."""
    parents = {pid: _parent(pid) for pid in processes.marked(service.mark)
               if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes()}
    return machine.pss_mb(pid for pid, parent in parents.items() if parent in parents) * 1000


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _clients(service: Service) -> int:
    """Connections of the queue server, this one not counted."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(StateDir(service.mark).queue_socket))
        connection.sendall(b"INFO clients\r\n")
        found = dict(line.partition(":")[::2] for line in connection.recv(INFO_BYTES).decode().splitlines())
    return int(found["connected_clients"]) - 1
