"""What slow work still gets while quick clients take all they can: it must not starve."""

import time
from collections.abc import Sequence
from typing import Any

from bench import images, servers
from bench.client import Address, closed_loop
from bench.flooding import CLIENTS, Flood, Plan, long_plans, same_plans
from bench.page import Check, Section, Table
from bench.stats import median_of, median_ratio, others_cell
from bench.workload import Measured, Options

CONNECTIONS = 16
JOB = images.frame(5)  # in tiles above the inline budget, and short enough to count some at a tenth of the speed
SECONDS = 20.0
LIMIT = 8.0  # percent
Round = dict[str, Any]
TEXT = """\
16 quick connections in a closed loop, which take all they can get, beside four clients with slow images: *long* as in
the flood, *jobs* of 5 megapixels in tiles. What is answered of them per second, and its share of what is answered with
no quick traffic."""


def measure(options: Options) -> Measured:
    punnet, seconds = servers.punnet(), options.seconds(SECONDS)
    kinds = {"long": long_plans(punnet), "jobs": same_plans(punnet, JOB, CLIENTS)}
    with punnet.run() as service:
        return {kind: [_round(service.address, punnet.quick_requests(), plans, seconds) for _ in range(options.rounds)]
                for kind, plans in kinds.items()}


def section(measured: Measured) -> Section:
    heads = ("slow work", "per second alone", "beside quick clients", "share", "quick per second", "other answers")
    rows = tuple((kind, median_of(rounds, "alone_per_s"), median_of(rounds, "beside_per_s"),
                  f"{_share(rounds):.1f} %", median_of(rounds, "quick_per_s"), others_cell(rounds))
                 for kind, rounds in measured.items())
    checks = tuple(Check(f"{kind}: share of slow work beside saturating quick clients", _share(rounds), LIMIT, "%",
                         at_least=True) for kind, rounds in measured.items())
    return Section("share: slow work beside quick clients that take all", TEXT, (Table(heads, rows),), checks)


def _round(address: Address, quick: list[bytes], plans: Sequence[Plan], seconds: float) -> Round:
    with Flood(address, plans) as flood:
        begin_s = time.perf_counter()
        time.sleep(seconds / 2)
        alone_s = time.perf_counter()
        load = closed_loop(address, quick, CONNECTIONS, seconds)
        end_s = time.perf_counter()
        log = flood.stop()
    return {"alone_per_s": log.per_s(begin_s, alone_s), "beside_per_s": log.per_s(alone_s, end_s),
            "quick_per_s": load.per_s, "others": load.others + log.others}


def _share(rounds: list[Round]) -> float:
    return median_ratio(rounds, "beside_per_s", "alone_per_s") * 100
