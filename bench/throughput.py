"""Each server's throughput by number of connections and by image size, as a share of the bare loop's; its start, and
its memory.

In each round each server is started, warmed up, asked for each load and stopped, so that nothing else runs beside it.
The bare loop runs just before each phase, since the machine's speed changes within seconds.
"""

import time
from collections.abc import Iterator
from statistics import median

from bench import images, servers
from bench.client import closed_loop, each_once
from bench.floor import Floor, Work
from bench.page import Check, Section, Table
from bench.peers.models import QUICK
from bench.servers import PUNNET, WAYS, Contender, Service
from bench.stats import median_of, median_ratio, percentile
from bench.workload import Measured, Options

SECONDS = 4.0
FLOOR_SHARE = 0.5  # of a phase's seconds
WARM_UP_S = 0.5
SIZES = {"1 MP": (1152, 864), "12 MP": (4000, 3000)}
EIGHT = f"{images.SMALL_SIDE} px, 8 connections"
START = "start and memory"
START_LIMIT_S = 3.0
CPU_LIMIT_MS = 0.9  # that a request may take beyond the bare loop's
# Times a peer's throughput with the preprocessing of its own image example.
LIMITS = {"1 MP, 8 connections": 1.4, "12 MP, 8 connections": 2.0}
Asked = tuple[Work, int]  # what is sent, and on how many connections
Phase = dict[str, float]
Round = dict[str, dict[str, Phase]]  # by load, then by server
TEXT = """\
Uploads to the quick model in a closed loop, the same bytes to each server; the share is of what the bare loop does with
the same images in one process per core (one connection can use one core only). CPU is that of all the server's
processes; the client shares the cores with the server, its time is not in it but lowers the throughput. The other
servers are measured twice: with Pillow as the image examples of these servers use it
(`Image.open().convert("RGB").resize()`, normalised by numpy), and with Punnet's own `inference` package, which shows
the servers alone. The limits are on the former. *Bare Flask* is one view on gunicorn with gevent that does nothing but
the prediction, in a native thread (`bench/bare_flask.py`). Start: from running the server's command (`./start.sh`, with
the venv ready) to the first answer to an image. Memory: PSS of all its processes (a page that several share is split
among them) after these loads; Punnet's have a queue server, job workers and those that watch over them beside."""


def measure(options: Options) -> Measured:
    loads, seconds = _loads(), options.seconds(SECONDS)
    with Floor() as floor:
        return {"rounds": [_round(options.peers, floor, loads, seconds) for _ in range(options.rounds)]}


def section(measured: Measured) -> Section:
    rounds: list[Round] = measured["rounds"]
    heads = ("per second", "of the floor", "p50 ms", "p99 ms", "CPU ms", "beyond the floor's")
    loads = tuple(Table((load, *heads), tuple(_rows([one[load] for one in rounds])))
                  for load in rounds[0] if load != START)
    starts = Table((START, "first answer after s", "PSS in MB"), tuple(
        (server, *(median_of([one[START][server] for one in rounds], figure) for figure in ("start_s", "pss_mb")))
        for server in rounds[0][START]))
    return Section("throughput: by connections and by image size; start and memory", TEXT, (*loads, starts),
                   tuple(_checks(rounds)))


def _loads() -> dict[str, Asked]:
    small = {f"{images.SMALL_SIDE} px, {count} connection{'s' * (count > 1)}": (Work(images.leaves()), count)
             for count in (1, 8, 64)}
    return small | {f"{name}, 8 connections": (Work(images.photographs(size)), 8) for name, size in SIZES.items()}


def _round(with_peers: bool, floor: Floor, loads: dict[str, Asked], seconds: float) -> Round:
    found: Round = {load: {} for load in (START, *loads)}
    for server in [servers.punnet(), servers.bare_flask(), *(servers.peers(plain=True) if with_peers else [])]:
        begin_s = time.perf_counter()
        with server.run() as service:
            if refused := each_once(service.address, server.quick_requests()[:1], 1).others:
                raise RuntimeError(f"{server.label} answered {refused} first")
            found[START][server.label] = {"start_s": time.perf_counter() - begin_s}
            for load, asked in loads.items():
                found[load][server.label] = _phase(server, service, floor, asked, seconds)
            found[START][server.label]["pss_mb"] = service.pss_mb()
    return found


def _phase(server: Contender, service: Service, floor: Floor, asked: Asked, seconds: float) -> Phase:
    work, connections = asked
    requests = [server.request(QUICK, image, {"mode": "sync"}) for image in work.images]
    closed_loop(service.address, requests, connections, WARM_UP_S)
    loops, before_s = floor.run(work, seconds * FLOOR_SHARE), service.cpu_s()
    load = closed_loop(service.address, requests, connections, seconds)
    cpu_ms = (service.cpu_s() - before_s) / len(load.good) * 1000
    if load.others:
        raise RuntimeError(f"{server.label} answered {load.others}")
    return {"per_s": load.per_s, "p50_ms": percentile(load.latencies_ms, 50),
            "p99_ms": percentile(load.latencies_ms, 99), "cpu_ms": cpu_ms, "floor_per_s": loops.per_s,
            "floor_ms": loops.cpu_ms}


def _rows(rounds: list[dict[str, Phase]]) -> Iterator[tuple[object, ...]]:
    """Medians over the rounds; ratios and differences are taken within a round first."""
    every = [phase for one in rounds for phase in one.values()]
    yield "bare loop", median_of(every, "floor_per_s"), "100%", "", "", median_of(every, "floor_ms"), ""
    for server in rounds[0]:
        ones = [one[server] for one in rounds]
        yield (server, median_of(ones, "per_s"), f"{median_ratio(ones, 'per_s', 'floor_per_s'):.0%}",
               median_of(ones, "p50_ms"), median_of(ones, "p99_ms"), median_of(ones, "cpu_ms"), _beyond_ms(ones))


def _beyond_ms(ones: list[Phase]) -> float:
    return median_of(ones, lambda one: one["cpu_ms"] - one["floor_ms"])


def _checks(rounds: list[Round]) -> Iterator[Check]:
    yield Check(f"{EIGHT}: CPU beyond the bare loop's", _beyond_ms([one[EIGHT][PUNNET] for one in rounds]),
                CPU_LIMIT_MS, "ms")
    yield Check("start to the first answer", median_of([one[START][PUNNET] for one in rounds], "start_s"),
                START_LIMIT_S, "s")
    for load, limit in LIMITS.items():
        for server in [name for name in rounds[0][load] if name.endswith(WAYS["plain"])]:
            ratio = median(one[load][PUNNET]["per_s"] / one[load][server]["per_s"] for one in rounds)
            yield Check(f"{load}: Punnet's throughput against {server}", ratio, limit, "x", at_least=True)
