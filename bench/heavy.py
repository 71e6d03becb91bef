"""Heavy pictures with no quick traffic: throughput against the bare loop in as many processes as there are job workers.

In each round, one after the other: the bare loop, then the same pictures over 4 connections, each held until its job
has ended.
"""

from multiprocessing.pool import Pool

from bench import messages, pictures
from bench.client import Load, client_process, closed_loop
from bench.floor import Floor, Work, floor
from bench.page import Check, Section, Table
from bench.servers import Server, running_server
from bench.stats import median_of, median_ratio, percentile
from bench.workload import Measured, Options

WORK_MODEL = "strawberry-fruit"
SIZE = (4000, 3000)
CONNECTIONS = 4
SECONDS = 15.0  # a job takes about one
LIMIT = 0.9
TEXT = """\
12 megapixels in tiles to the detector, `mode=sync` over 4 connections; the floor is the same work in a bare loop, in as
many processes as `PUNNET_JOB_WORKERS`, measured in turn."""


def measure(options: Options) -> Measured:
    work = Work(pictures.photographs(SIZE), WORK_MODEL)
    with running_server(wait_max_s=600) as server, client_process() as client, \
            floor(server.settings.job_workers) as bare:
        return {"workers": bare.processes, "rounds": [
            _round(server, client, bare, work, options.long_s(SECONDS)) for _ in range(options.rounds)]}


def section(measured: Measured) -> Section:
    rounds = measured["rounds"]
    share = median_ratio(rounds, "per_s", "floor_per_s")
    table = Table(("job workers", "bare loop, per second", "Punnet, per second", "of the floor", "p50 s"),
                  ((measured["workers"], median_of(rounds, "floor_per_s"), median_of(rounds, "per_s"), f"{share:.0%}",
                    median_of(rounds, "p50_ms") / 1000),))
    check = Check("heavy pictures: throughput against the bare loop", share, LIMIT, "x", at_least=True)
    return Section("heavy: heavy pictures alone", TEXT, (table,), (check,))


def _round(server: Server, client: Pool, bare: Floor, work: Work, seconds: float) -> dict[str, float]:
    requests = [messages.multipart(f"/models/{WORK_MODEL}/predict", picture, {"mode": "sync"})
                for picture in work.pictures]
    floor_per_s = bare.run(work, seconds).per_s
    load: Load = client.apply(closed_loop, (server.address, requests, CONNECTIONS, seconds))
    return {"floor_per_s": floor_per_s, "per_s": load.per_s, "p50_ms": percentile(load.latencies_ms, 50)}
