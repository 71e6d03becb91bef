"""Quick requests alone: what the server adds to the bare loop, in throughput and in CPU time per request.

In each round multipart uploads and raw bodies over 1, 8 and 64 connections, then raw bodies to a bare Flask view;
before and after each the bare loop in one process per core, since the machine's speed changes within seconds.
"""

from collections.abc import Iterator
from multiprocessing.pool import Pool
from statistics import mean, median
from typing import Any

from bench import messages, pictures
from bench.bare_flask import BareFlask, bare_flask
from bench.client import Load, client_process, closed_loop
from bench.floor import QUICK_MODEL, Floor, Work, floor
from bench.page import Check, Section, Table
from bench.servers import Server, running_server
from bench.stats import median_of, median_ratio, percentile
from bench.workload import Measured, Options

SIDE = 224
CONNECTIONS = (1, 8, 64)
LIMITED_AT = 8  # connections
# Milliseconds of CPU that a request may take beyond the bare loop's.
LIMITS_MS = {"multipart": 0.9, "raw": 0.6}
WARM_UP_S = 0.5
# A gunicorn worker with more than this share of the CPU time had all the connections, or nearly: keep-alive pins a
# connection to its worker, and the other cores idle. Throughput suffers, CPU per request does not.
LOPSIDED = 0.8
Round = dict[str, Any]
TEXT = """\
JPEGs of 224 pixels in a closed loop. The floor is the same decoding and inference in a bare loop, in one process per
core, just before and just after each phase; one connection can use one core only. The client shares the cores
with the server: its time is not in the server's, but lowers its throughput. CPU is that of the gunicorn workers, all
threads. Where one worker has nearly all of the CPU time, keep-alive had put nearly all connections on it. *Bare Flask*
is one view on gunicorn with gevent that does nothing but the prediction, in a native thread
(`bench/bare_flask.py`)."""


def measure(options: Options) -> Measured:
    work = Work(pictures.leaf_jpegs(SIDE))
    with running_server() as server, bare_flask() as flask, client_process() as client, floor() as bare:
        for served in (server, flask):
            closed_loop(served.address, _requests(work)["raw"], LIMITED_AT, WARM_UP_S)
        return {"rounds": [_round(server, flask, client, bare, work, options.seconds) for _ in range(options.rounds)]}


def section(measured: Measured) -> Section:
    rounds = measured["rounds"]
    checks = tuple(Check(f"{kind}, {LIMITED_AT} connections: CPU beyond the bare loop's",
                         _beyond_ms(rounds, f"{kind} {LIMITED_AT}"), limit_ms, "ms")
                   for kind, limit_ms in LIMITS_MS.items())
    return Section("quick: quick pictures alone", TEXT, (Table(
        ("", "per second", "of the floor", "p50 ms", "p99 ms", "CPU ms", "beyond the floor's", "client's CPU ms",
         "busiest worker"), tuple(_rows(rounds))),), checks)


def _round(server: Server, flask: BareFlask, client: Pool, bare: Floor, work: Work, seconds: float) -> Round:
    def phase(served: Server | BareFlask, requests: list[bytes], connections: int) -> Round:
        loops = [bare.run(work, seconds / 4)]
        measured = _phase(served, client, requests, connections, seconds)
        loops.append(bare.run(work, seconds / 4))
        return measured | {"floor_per_s": mean(loop.per_s for loop in loops),
                           "floor_ms": mean(loop.cpu_s for loop in loops) * 1000}

    phases = {f"{kind} {connections}": phase(server, requests, connections)
              for kind, requests in _requests(work).items() for connections in CONNECTIONS}
    return phases | {f"bare Flask, raw {LIMITED_AT}": phase(flask, _requests(work)["raw"], LIMITED_AT)}


def _requests(work: Work) -> dict[str, list[bytes]]:
    fields = {"model_type": QUICK_MODEL}
    return {"multipart": [messages.multipart("/predict", picture, fields) for picture in work.pictures],
            "raw": [messages.raw("/predict", picture, fields) for picture in work.pictures]}


def _phase(server: Server | BareFlask, client: Pool, requests: list[bytes], connections: int, seconds: float) -> Round:
    before = server.workers_cpu_s()
    load: Load = client.apply(closed_loop, (server.address, requests, connections, seconds))
    after = server.workers_cpu_s()
    if before.keys() != after.keys():
        raise RuntimeError("a gunicorn worker ended meanwhile")
    used_s = [after[pid] - before[pid] for pid in after]
    return {"per_s": load.per_s, "p50_ms": percentile(load.latencies_ms, 50),
            "p99_ms": percentile(load.latencies_ms, 99), "cpu_ms": sum(used_s) / load.answered * 1000,
            "client_ms": load.cpu_s / load.answered * 1000, "busiest": max(used_s) / sum(used_s), "others": load.others}


def _rows(rounds: list[Round]) -> Iterator[tuple[object, ...]]:
    """Medians over the rounds; ratios and differences are taken within a round first."""
    every = [phase for one in rounds for phase in one.values()]
    yield "bare loop", median_of(every, "floor_per_s"), "100 %", "", "", median_of(every, "floor_ms"), "", "", ""
    for phase in rounds[0]:
        ones = [one[phase] for one in rounds]
        yield (f"{phase} connection{'' if phase.endswith(' 1') else 's'}", median_of(ones, "per_s"),
               f"{median_ratio(ones, 'per_s', 'floor_per_s'):.0%}",
               median_of(ones, "p50_ms"), median_of(ones, "p99_ms"), median_of(ones, "cpu_ms"),
               _beyond_ms(rounds, phase), median_of(ones, "client_ms"),
               "" if phase.endswith(" 1") else _busiest(ones))


def _beyond_ms(rounds: list[Round], phase: str) -> float:
    return median(one[phase]["cpu_ms"] - one[phase]["floor_ms"] for one in rounds)


def _busiest(ones: list[Round]) -> str:
    lopsided = sum(one["busiest"] > LOPSIDED for one in ones)
    note = f", lopsided in {lopsided} of {len(ones)}" if lopsided else ""
    return f"{median_of(ones, 'busiest'):.0%}{note}"
