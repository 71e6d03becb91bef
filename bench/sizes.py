"""Throughput by picture size, Punnet against the other servers, each as a share of the bare loop.

In each round: the bare loop, then each server is started, warmed up, asked for each size and stopped, so that nothing
else runs beside it.
"""

from collections.abc import Iterator
from multiprocessing.pool import Pool
from statistics import median

from bench import pictures
from bench.client import Load, client_process, closed_loop
from bench.contenders import PUNNET, WAYS, Contender, contenders
from bench.floor import QUICK_MODEL, Floor, Work, floor
from bench.page import Chart, Check, Section, Table
from bench.workload import Measured, Options

CONNECTIONS = 8
SIDE = 224
SIZES = {"1 MP": (1152, 864), "12 MP": (4000, 3000)}
FIELDS = {"12 MP": {"mode": "sync"}}  # one that is predicted to be slow is to be answered too
# Times a peer's throughput with the preprocessing of its own image example.
LIMITS = {"1 MP": 1.4, "12 MP": 2.0}
WARM_UP_S = 0.5
Round = dict[str, dict[str, float]]
TEXT = """\
Uploads to the quick model over 8 connections in a closed loop, the same bytes to each server; share of what the bare
loop does with the same pictures. The other servers are measured twice: with Pillow as the image examples of these
servers use it (`Image.open().convert("RGB").resize()`, normalised by numpy), and with Punnet's own `inference` package,
which shows the servers alone. The limits are on the former."""


def measure(options: Options) -> Measured:
    works = _works()
    with client_process() as client, floor() as bare:
        return {"rounds": [_round(contenders(options.peers, plain=True), client, bare, works, options.seconds)
                           for _ in range(options.rounds)]}


def section(measured: Measured) -> Section:
    rounds: list[Round] = measured["rounds"]
    servers = [name for name in rounds[0] if name != "floor"]
    sizes = list(rounds[0]["floor"])
    shares = {name: [_share(rounds, name, size) for size in sizes] for name in servers}
    table = Table(("", *(f"{size}, per second" for size in sizes), *(f"{size}, of the floor" for size in sizes)),
                  tuple(_rows(rounds, sizes, shares)))
    chart = Chart("throughput", "Throughput as a share of the bare loop, 8 connections", "%", tuple(sizes),
                  tuple(servers), tuple(tuple(share * 100 for share in shares[name]) for name in servers))
    return Section("sizes: throughput by picture size", TEXT, (table,), tuple(_checks(rounds, servers)), (chart,))


def _works() -> dict[str, Work]:
    return {f"{SIDE} px": Work(pictures.leaf_jpegs(SIDE))} | {
        name: Work(pictures.photographs(size)) for name, size in SIZES.items()}


def _round(servers: list[Contender], client: Pool, bare: Floor, works: dict[str, Work], seconds: float) -> Round:
    floors = {"floor": {size: bare.run(work, seconds).per_s for size, work in works.items()}}
    return floors | {server.label: _served(server, client, works, seconds) for server in servers}


def _served(server: Contender, client: Pool, works: dict[str, Work], seconds: float) -> dict[str, float]:
    requests = {size: [server.request(QUICK_MODEL, picture, FIELDS.get(size)) for picture in work.pictures]
                for size, work in works.items()}
    with server.run() as address:
        for bodies in requests.values():
            closed_loop(address, bodies, CONNECTIONS, WARM_UP_S)
        loads: dict[str, Load] = {size: client.apply(closed_loop, (address, bodies, CONNECTIONS, seconds))
                                  for size, bodies in requests.items()}
    if any(load.others for load in loads.values()):
        raise RuntimeError(f"{server.label} answered {[load.others for load in loads.values()]}")
    return {size: load.per_s for size, load in loads.items()}


def _rows(rounds: list[Round], sizes: list[str], shares: dict[str, list[float]]) -> Iterator[tuple[object, ...]]:
    for name in rounds[0]:
        cells = [f"{share:.0%}" for share in shares.get(name, [1.0] * len(sizes))]
        label = "bare loop" if name == "floor" else name
        yield label, *(median(one[name][size] for one in rounds) for size in sizes), *cells


def _share(rounds: list[Round], name: str, size: str) -> float:
    return median(one[name][size] / one["floor"][size] for one in rounds)


def _checks(rounds: list[Round], servers: list[str]) -> Iterator[Check]:
    for name in [name for name in servers if name.endswith(WAYS["plain"])]:
        for size, limit in LIMITS.items():
            ratio = median(one[PUNNET][size] / one[name][size] for one in rounds)
            yield Check(f"{size}: Punnet's throughput against {name}", ratio, limit, "x", at_least=True)
