"""Quick requests alone: what the server adds to the bare loop, in throughput and in CPU time per request.

In each round, one after the other: the bare loop in one process per core, then multipart uploads and raw bodies over
1, 8 and 64 connections, then raw bodies to a bare Flask view.
"""

from collections.abc import Iterator
from multiprocessing.pool import Pool
from statistics import median
from typing import Any

from bench import messages, pictures
from bench.bare_flask import BareFlask, bare_flask
from bench.client import Load, client_process, closed_loop
from bench.floor import QUICK_MODEL, Floor, Work, floor
from bench.page import Check, Section, Table
from bench.servers import Server, running_server
from bench.stats import median_of, percentile
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
core, measured in turn with the server in each round; one connection can use one core only. The client shares the cores
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
    loops = bare.run(work, seconds)
    served = {f"{kind} {connections}": _phase(server, client, requests, connections, seconds)
              for kind, requests in _requests(work).items() for connections in CONNECTIONS}
    served[f"bare Flask, raw {LIMITED_AT}"] = _phase(flask, client, _requests(work)["raw"], LIMITED_AT, seconds)
    return {"floor": {"per_s": loops.per_s, "cpu_ms": loops.cpu_s * 1000}} | served


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
    bare = [one["floor"] for one in rounds]
    yield "bare loop", median_of(bare, "per_s"), "100 %", "", "", median_of(bare, "cpu_ms"), "", "", ""
    for phase in [name for name in rounds[0] if name != "floor"]:
        ones = [one[phase] for one in rounds]
        share = median(one[phase]["per_s"] / one["floor"]["per_s"] for one in rounds)
        yield (f"{phase} connection{'' if phase.endswith(' 1') else 's'}", median_of(ones, "per_s"), f"{share:.0%}",
               median_of(ones, "p50_ms"), median_of(ones, "p99_ms"), median_of(ones, "cpu_ms"),
               _beyond_ms(rounds, phase), median_of(ones, "client_ms"),
               "" if phase.endswith(" 1") else _busiest(ones))


def _beyond_ms(rounds: list[Round], phase: str) -> float:
    return median(one[phase]["cpu_ms"] - one["floor"]["cpu_ms"] for one in rounds)


def _busiest(ones: list[Round]) -> str:
    lopsided = sum(one["busiest"] > LOPSIDED for one in ones)
    note = f", lopsided in {lopsided} of {len(ones)}" if lopsided else ""
    return f"{median_of(ones, 'busiest'):.0%}{note}"
