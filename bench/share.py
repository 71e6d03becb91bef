"""What slow work still gets while quick clients take all they can: it must not starve."""

import time
from multiprocessing.pool import Pool
from typing import Any

from bench import pictures
from bench.client import Address, Load, client_process, closed_loop, others
from bench.contenders import Contender, contenders
from bench.flood import CLIENTS, DETECTOR, SIDE, Plans, long_plans, others_cell
from bench.flooding import Flood, Step
from bench.floor import QUICK_MODEL
from bench.page import Check, Section, Table
from bench.stats import median_of, median_ratio
from bench.workload import Measured, Options

CONNECTIONS = 16
JOB = pictures.frame(5)  # in tiles above the inline budget, and short enough to count some at a tenth of the speed
SECONDS = 20.0
LIMIT = 8.0  # percent
Round = dict[str, Any]
TEXT = """\
16 quick connections in a closed loop, which take all they can get, beside four clients with slow pictures: *long* as in
the flood, *jobs* of 5 megapixels in tiles. What is answered of them per second, and its share of what is answered with
no quick traffic."""


def measure(options: Options) -> Measured:
    [punnet] = contenders(peers=False, plain=False)
    quick = [punnet.request(QUICK_MODEL, picture) for picture in pictures.leaf_jpegs(SIDE)]
    kinds = {"long": long_plans(punnet), "jobs": _job_plans(punnet)}
    with punnet.run() as address, client_process() as client:
        return {kind: [_round(address, client, quick, plans, options) for _ in range(options.rounds)]
                for kind, plans in kinds.items()}


def section(measured: Measured) -> Section:
    heads = ("slow work", "per second alone", "beside quick clients", "share", "quick per second",
             "other answers")
    rows = tuple((kind, median_of(rounds, "alone_per_s"), median_of(rounds, "beside_per_s"),
                  f"{_share(rounds):.1f} %", median_of(rounds, "quick_per_s"), others_cell(rounds))
                 for kind, rounds in measured.items())
    checks = tuple(Check(f"{kind}: share of slow work beside saturating quick clients", _share(rounds), LIMIT, "%",
                         at_least=True) for kind, rounds in measured.items())
    return Section("share: slow work beside quick clients that take all", TEXT, (Table(heads, rows),), checks)


def _job_plans(server: Contender) -> Plans:
    return [[Step(server.request(DETECTOR, picture, {"mode": "sync"})) for picture in pictures.photographs(JOB)]
            for _ in range(CLIENTS)]


def _round(address: Address, client: Pool, quick: list[bytes], plans: Plans, options: Options) -> Round:
    seconds = options.long_s(SECONDS)
    with Flood(address, options.some(plans)) as flood:
        begin_s = time.perf_counter()
        time.sleep(seconds / 2)
        alone_s = time.perf_counter()
        load: Load = client.apply(closed_loop, (address, quick, CONNECTIONS, seconds))
        end_s = time.perf_counter()
        log = flood.stop()
    return {"alone_per_s": log.per_s(begin_s, alone_s), "beside_per_s": log.per_s(alone_s, end_s),
            "quick_per_s": load.per_s, "others": others(load.statuses, log.statuses)}


def _share(rounds: list[Round]) -> float:
    return median_ratio(rounds, "beside_per_s", "alone_per_s") * 100
