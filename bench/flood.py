"""Quick requests at a fixed rate, alone and while four clients keep a server busy with slow images.

The rate is half of what the server can do, measured just before over 8 connections. Latency counts from when each
request was due. Alone and flooded take turns.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from bench import servers
from bench.client import Address, Load, closed_loop, open_loop
from bench.flooding import PLANS, Flood, Plan
from bench.page import Check, Section, Table
from bench.servers import PUNNET, Contender
from bench.stats import median_of, median_ratio, others_cell, percentile
from bench.workload import Measured, Options

CAPACITY_CONNECTIONS, CAPACITY_S = 8, 4.0
RATE_SHARE = 0.5  # of the capacity
REQUESTS = 1000  # of each condition and round
WARM_UP_S = 1.0
ALONE_S = 16.0  # the slow work without quick traffic: some jobs of 4 s
LIMITS = {"p50": 1.2, "p99": 1.5}  # times the latency alone
Sending = tuple[Address, list[bytes], float, int]  # the arguments of an open loop
Round = dict[str, Any]
TEXT = """\
Quick JPEGs of 224 pixels at a fixed rate, half of each server's own capacity (closed loop, 8 connections, just before),
alone and with four clients that send slow images one after the other; latency counts from when a request was due, so
waiting counts. *long*: 12 megapixels to the detector, untiled, which Punnet answers inline. *jobs*: 50 megapixels in
tiles, seconds each. *mix*: 2 to 50 megapixels, both models, tiled or not, with pauses, drawn by a seed. The other
servers have no jobs and no tiles, so they get *long* only, with Punnet's own `inference` package and one API per model.
The slow column is slow images answered per second, and its share of what is answered without quick traffic."""


def measure(options: Options) -> Measured:
    rounds: dict[str, dict[str, list[Round]]] = {}
    for _ in range(options.rounds):
        for server in [servers.punnet(), *(servers.peers(plain=False) if options.peers else [])]:
            for flood, one in _round(server, options):
                rounds.setdefault(server.label, {}).setdefault(flood, []).append(one)
    return {"servers": rounds}


def section(measured: Measured) -> Section:
    found: dict[str, dict[str, list[Round]]] = measured["servers"]
    heads = ("", "flood", "quick per second", "p50 ms alone", "in the flood", "ratio", "p99 ms alone", "in the flood",
             "ratio", "slow per second", "of alone", "other answers")
    rows = tuple((server, flood, *_cells(rounds)) for server, floods in found.items()
                 for flood, rounds in floods.items())
    checks = tuple(Check(f"{flood}: quick {percent} in the flood against alone", _ratio(rounds, percent), limit, "x")
                   for flood, rounds in found[PUNNET].items() for percent, limit in LIMITS.items())
    return Section("flood: quick images in a flood of slow ones", TEXT, (Table(heads, rows),), checks)


def _round(server: Contender, options: Options) -> Iterator[tuple[str, Round]]:
    """One start of a server, with all floods that it can take."""
    quick = server.quick_requests()
    with server.run() as service:
        closed_loop(service.address, quick, CAPACITY_CONNECTIONS, WARM_UP_S)
        capacity = closed_loop(service.address, quick, CAPACITY_CONNECTIONS, options.seconds(CAPACITY_S))
        sending = service.address, quick, capacity.per_s * RATE_SHARE, options.count(REQUESTS)
        for flood in PLANS if server.takes_fields else ("long",):
            one = _flooded(sending, PLANS[flood](server), options.seconds(ALONE_S))
            print(f"  {server.label}, {flood}: {one['rate_per_s']:.0f}/s, p99 {one['alone_p99_ms']:.1f} ms alone, "
                  f"{one['flooded_p99_ms']:.1f} ms in the flood, {one['slow_per_s']:.2f} slow/s", flush=True)
            yield flood, one


def _flooded(sending: Sending, plans: Sequence[Plan], alone_s: float) -> Round:
    """Quick alone, quick in the flood, the flood alone."""
    alone = open_loop(*sending)
    with Flood(sending[0], plans) as flood:
        begin_s = time.perf_counter()
        flooded = open_loop(*sending)
        end_s = time.perf_counter()
        time.sleep(alone_s)
        only_s = time.perf_counter()
        log = flood.stop()
    return {"rate_per_s": sending[2]} | _latencies("alone", alone) | _latencies("flooded", flooded) | {
        "slow_per_s": log.per_s(begin_s, end_s), "slow_alone_per_s": log.per_s(end_s, only_s),
        "others": alone.others + flooded.others + log.others}


def _latencies(name: str, load: Load) -> dict[str, float]:
    return {f"{name}_{percent}_ms": percentile(load.latencies_ms, float(percent[1:])) for percent in LIMITS}


def _cells(rounds: list[Round]) -> Iterator[object]:
    yield median_of(rounds, "rate_per_s")
    for percent in LIMITS:
        yield median_of(rounds, f"alone_{percent}_ms")
        yield median_of(rounds, f"flooded_{percent}_ms")
        yield _ratio(rounds, percent)
    yield median_of(rounds, "slow_per_s")
    yield f"{median_ratio(rounds, 'slow_per_s', 'slow_alone_per_s'):.0%}"
    yield others_cell(rounds)


def _ratio(rounds: list[Round], percent: str) -> float:
    return median_ratio(rounds, f"flooded_{percent}_ms", f"alone_{percent}_ms")
