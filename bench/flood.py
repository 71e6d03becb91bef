"""Quick requests at a fixed rate, alone and while four clients keep a server busy with slow pictures.

The rate is half of what the server can do, measured just before over 8 connections. Latency counts from when each
request was due. Alone and flooded take turns.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.pool import Pool
from typing import Any

from bench import pictures
from bench.client import Address, Load, client_process, closed_loop, open_loop, others, summed
from bench.contenders import PUNNET, Contender, contenders
from bench.flooding import Flood, Step
from bench.floor import QUICK_MODEL
from bench.page import Chart, Check, Section, Table
from bench.stats import median_of, median_ratio, percentile
from bench.workload import Measured, Options

SIDE = 224
CLIENTS = 4
CAPACITY_CONNECTIONS = 8
RATE_SHARE = 0.5  # of the capacity
WARM_UP_S = 1.0
ALONE_S = 16.0  # the slow work without quick traffic: some jobs of 4 s
DETECTOR = "strawberry-fruit"
TWELVE, FIFTY = (4000, 3000), (8660, 5773)
MIX_MEGAPIXELS = (2, 5, 12, 20, 36, 50)
MIX_STEPS = 10  # of each client, which sends them again and again
MIX_PAUSE_S = 0.3  # on average
MIX_SEED = 7
LIMITS = {"p50": 1.2, "p99": 1.5}  # times the latency alone
Plans = list[list[Step]]
Sending = tuple[Address, list[bytes], float, int]  # the arguments of an open loop
Round = dict[str, Any]
TEXT = """\
Quick JPEGs of 224 pixels at a fixed rate, half of each server's own capacity (closed loop, 8 connections, just before),
alone and with four clients that send slow pictures one after the other; latency counts from when a request was due, so
waiting counts. *long*: 12 megapixels to the detector, untiled, which Punnet answers inline. *jobs*: 50 megapixels in
tiles, seconds each. *mix*: 2 to 50 megapixels, both models, tiled or not, with pauses, drawn by a seed. The other
servers have no jobs and no tiles, so they get *long* only, with Punnet's own `inference` package and one API per model.
The slow column is slow pictures answered per second, and its share of what is answered without quick traffic."""


@dataclass(frozen=True)
class FloodKind:
    """`plans` makes what each client of a flood sends in turn."""

    plans: Callable[[Contender], Plans]
    for_peers: bool = False


def long_plans(server: Contender) -> Plans:
    return _same(server, TWELVE, {"tile": "0", "mode": "sync"})


def job_plans(server: Contender) -> Plans:
    return _same(server, FIFTY, {"mode": "sync"})


def mixed_plans(server: Contender) -> Plans:
    drawn = random.Random(MIX_SEED)
    return [[_drawn(server, drawn) for _ in range(MIX_STEPS)] for _ in range(CLIENTS)]


FLOODS = {"long": FloodKind(long_plans, for_peers=True), "jobs": FloodKind(job_plans), "mix": FloodKind(mixed_plans)}


def measure(options: Options) -> Measured:
    rounds: dict[str, dict[str, list[Round]]] = {}
    with client_process() as client:
        for _ in range(options.rounds):
            for server in contenders(options.peers, plain=False):
                for flood, one in _round(server, client, options):
                    rounds.setdefault(server.label, {}).setdefault(flood, []).append(one)
    return {"servers": rounds}


def section(measured: Measured) -> Section:
    servers: dict[str, dict[str, list[Round]]] = measured["servers"]
    heads = ("", "flood", "quick per second", "p50 ms alone", "in the flood", "ratio", "p99 ms alone", "in the flood",
             "ratio", "slow per second", "of alone", "other answers")
    rows = tuple((server, flood, *_cells(rounds)) for server, floods in servers.items()
                 for flood, rounds in floods.items())
    checks = tuple(check for flood, rounds in servers[PUNNET].items() for check in _checks(flood, rounds))
    return Section("flood: quick pictures in a flood of slow ones", TEXT, (Table(heads, rows),), checks,
                   (_chart(servers),))


def _same(server: Contender, size: tuple[int, int], fields: dict[str, str]) -> Plans:
    steps = [Step(server.request(DETECTOR, picture, fields)) for picture in pictures.photographs(size)]
    return [steps[turn % len(steps):] + steps[:turn % len(steps)] for turn in range(CLIENTS)]


def _drawn(server: Contender, drawn: random.Random) -> Step:
    picture = pictures.photograph(pictures.frame(drawn.choice(MIX_MEGAPIXELS)))
    fields = {"mode": "sync", "tile": drawn.choice(("0", "640"))}
    return Step(server.request(drawn.choice((QUICK_MODEL, DETECTOR)), picture, fields),
                drawn.expovariate(1 / MIX_PAUSE_S))


def _round(server: Contender, client: Pool, options: Options) -> Iterator[tuple[str, Round]]:
    """One start of a server, with all floods that it can take."""
    quick = [server.request(QUICK_MODEL, picture) for picture in pictures.leaf_jpegs(SIDE)]
    with server.run() as address:
        closed_loop(address, quick, CAPACITY_CONNECTIONS, WARM_UP_S)
        capacity: Load = client.apply(closed_loop, (address, quick, CAPACITY_CONNECTIONS, options.seconds))
        for name, kind in FLOODS.items():
            if server.is_punnet or kind.for_peers:
                sending = (address, quick, capacity.per_s * RATE_SHARE, options.requests)
                yield name, _said(server, name, _flooded(client, sending, options.some(kind.plans(server)), options))


def _flooded(client: Pool, sending: Sending, plans: Sequence[Sequence[Step]], options: Options) -> Round:
    """Quick alone, quick in the flood, the flood alone."""
    address, _, rate_per_s, _ = sending
    alone: Load = client.apply(open_loop, sending)
    with Flood(address, plans) as flood:
        begin_s = time.perf_counter()
        flooded: Load = client.apply(open_loop, sending)
        end_s = time.perf_counter()
        time.sleep(options.long_s(ALONE_S))
        only_s = time.perf_counter()
        log = flood.stop()
    return {"rate_per_s": rate_per_s} | _latencies("alone", alone) | _latencies("flooded", flooded) | {
        "slow_per_s": log.per_s(begin_s, end_s), "slow_alone_per_s": log.per_s(end_s, only_s),
        "others": others(alone.statuses, flooded.statuses, log.statuses)}


def _latencies(name: str, load: Load) -> dict[str, float]:
    return {f"{name}_p50_ms": percentile(load.latencies_ms, 50), f"{name}_p99_ms": percentile(load.latencies_ms, 99)}


def _said(server: Contender, flood: str, one: Round) -> Round:
    """Print a round as it ends."""
    print(f"  {server.label}, {flood}: {one['rate_per_s']:.0f}/s, p99 {one['alone_p99_ms']:.1f} ms alone, "
          f"{one['flooded_p99_ms']:.1f} ms in the flood, {one['slow_per_s']:.2f} slow/s, "
          f"other answers: {one['others'] or 0}", flush=True)
    return one


def _cells(rounds: list[Round]) -> Iterator[object]:
    yield median_of(rounds, "rate_per_s")
    for percent in LIMITS:
        yield median_of(rounds, f"alone_{percent}_ms")
        yield median_of(rounds, f"flooded_{percent}_ms")
        yield _ratio(rounds, percent)
    yield median_of(rounds, "slow_per_s")
    yield f"{median_ratio(rounds, 'slow_per_s', 'slow_alone_per_s'):.0%}"
    yield others_cell(rounds)


def others_cell(rounds: list[Round]) -> str:
    """A cell: the other answers of all rounds."""
    found = summed(one["others"] for one in rounds)
    return ", ".join(f"{status}: {count}" for status, count in found.items()) or "0"


def _ratio(rounds: list[Round], percent: str) -> float:
    return median_ratio(rounds, f"flooded_{percent}_ms", f"alone_{percent}_ms")


def _checks(flood: str, rounds: list[Round]) -> Iterator[Check]:
    for percent, limit in LIMITS.items():
        yield Check(f"{flood}: quick {percent} in the flood against alone", _ratio(rounds, percent), limit, "x")


def _chart(servers: dict[str, dict[str, list[Round]]]) -> Chart:
    """The flood that all can take."""
    long = {server: floods["long"] for server, floods in servers.items()}
    return Chart("flood", "Quick p99 at half of each server's capacity, alone and in a flood of slow pictures", "ms",
                 ("alone", "in the flood"), tuple(long),
                 tuple((median_of(rounds, "alone_p99_ms"), median_of(rounds, "flooded_p99_ms"))
                       for rounds in long.values()))
