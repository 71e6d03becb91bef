"""This Punnet and another checkout of it, in turn: is it better or worse, and by more than chance?

In each round the other checkout is started twice ("old", "old again") and this one once ("new"). Within each measure
they take turns, in an order that the rounds rotate. new / old is read beside old / old, which is chance alone.
"""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench import images
from bench.client import Load, closed_loop, each_once, open_loop
from bench.flood import CAPACITY_CONNECTIONS, RATE_SHARE, REQUESTS, WARM_UP_S
from bench.flooding import PLANS, Flood, Plan, same_plans
from bench.page import Check, Section, Table
from bench.peers.models import DETECTOR
from bench.servers import ROOT, Contender, Service, punnet
from bench.stats import deviation, median_of, others_cell, percentile
from bench.workload import Measured, Options
from settings import available_cores

OLD, NEW, AGAIN = "old", "new", "old again"
CONNECTIONS = (1, 2, 8)
SECONDS = 4.0
TILED, AT_ONCE = images.frame(36), 8
WARM_UP_JOB = images.frame(5)
# Times the old figure; what old / old deviates is added to them.
AT_LEAST = {"8 connections, per second": 0.85, "eight tiled, per second": 1.6}
AT_MOST = {"one tiled, seconds": 1 / 1.6} | {
    f"{condition}, quick p99 ms": 1.15 for condition in ("half load", *PLANS, "eight tiled")}
Figures = dict[str, Any]  # by name, and the `others` among the answers
Round = dict[str, Figures]  # by server
TEXT = """\
Ratios are taken within a round: new / old, and old / old of two instances of the old one, which shows what chance does;
"from", "to" and "deviation" (the median absolute one) are of the latter. Throughput is of 224-pixel JPEGs in a closed
loop, CPU that of all processes of the service. *Half load*: a fixed rate, half of the old one's throughput at 8
connections, the same to all. The floods are those of the page, each at that rate; *one tiled*, *eight tiled*: 36
megapixels in tiles, one image at a time or eight, whose own seconds and images per second are taken without quick
traffic. In those two, servers run at their own defaults; in all else each has as many job workers as cores."""


@dataclass(frozen=True)
class Trial:
    """One server within a round, and how it is asked."""

    server: Contender
    service: Service
    options: Options
    rate_per_s: float = 0.0

    def closed(self, connections: int) -> Load:
        return closed_loop(self.service.address, self.server.quick_requests(), connections,
                           self.options.seconds(SECONDS))

    def paced(self) -> Load:
        return open_loop(self.service.address, self.server.quick_requests(), self.rate_per_s,
                         self.options.count(REQUESTS))

    def tiled(self, count: int) -> list[bytes]:
        """Requests that are held until their jobs have ended."""
        [image] = images.photographs(TILED, 1)
        return [self.server.request(DETECTOR, image, {"mode": "sync"})] * count

    def plans(self, flood: str) -> Sequence[Plan]:
        if flood in PLANS:
            return PLANS[flood](self.server)
        return same_plans(self.server, TILED, 1 if flood == "one tiled" else AT_ONCE)


def throughput(trial: Trial) -> Figures:
    found: Figures = {"others": Counter()}
    for connections in CONNECTIONS:
        name, before_s = f"{connections} connection{'s' * (connections > 1)}", trial.service.cpu_s()
        load = trial.closed(connections)
        cpu_ms = (trial.service.cpu_s() - before_s) / len(load.good) * 1000
        found = _joined(found, {f"{name}, per second": load.per_s, f"{name}, CPU ms": cpu_ms, "others": load.others})
    return found


def half_load(trial: Trial) -> Figures:
    load = trial.paced()
    return _latencies("half load", load) | {"others": load.others}


def one_tiled(trial: Trial) -> Figures:
    load = each_once(trial.service.address, trial.tiled(1), 1)
    figures = {"one tiled, seconds": percentile(load.latencies_ms, 50) / 1000, "others": load.others}
    return _joined(figures, _in_flood(trial, "one tiled"))


def eight_tiled(trial: Trial) -> Figures:
    load = each_once(trial.service.address, trial.tiled(AT_ONCE), AT_ONCE)
    return _joined({"eight tiled, per second": load.per_s, "others": load.others}, _in_flood(trial, "eight tiled"))


def _in_flood(trial: Trial, flood: str) -> Figures:
    """Latencies of quick requests in a flood, and the flood's own speed until its last answer."""
    with Flood(trial.service.address, trial.plans(flood)) as background:
        begin_s = time.perf_counter()
        load = trial.paced()
        log = background.stop()
    slow_per_s = len(log.good_s) / (time.perf_counter() - begin_s)
    return _latencies(flood, load) | {f"{flood}, slow per second": slow_per_s, "others": load.others + log.others}


MEASURES: dict[str, Callable[[Trial], Figures]] = {"throughput": throughput, "half": half_load} | {
    flood: partial(_in_flood, flood=flood) for flood in PLANS} | {"one": one_tiled, "eight": eight_tiled}

# Here a server runs as it comes; in all else each has as many job workers as there are cores.
AT_DEFAULTS = ("one", "eight")


def measure(options: Options) -> Measured:
    old = Path(options.against).resolve()
    rounds = [_round(old, number, options) for number in range(options.rounds)]
    return {"old": _commit(old), "new": _commit(ROOT), "rounds": rounds}


def section(measured: Measured) -> Section:
    rounds: list[Round] = measured["rounds"]
    names = [name for name in rounds[0][OLD] if name != "others"]
    found = {name: (_ratios(rounds, NEW, name), _ratios(rounds, AGAIN, name)) for name in names}
    table = Table(("", "old", "new", "new / old", "old / old", "from", "to", "deviation"), tuple(
        (name, *(median_of([one[server] for one in rounds], name) for server in (OLD, NEW)), median(new), median(again),
         min(again), max(again), deviation(again)) for name, (new, again) in found.items()))
    answers = Table(("", *rounds[0]), (("other answers", *(others_cell([one[server] for one in rounds])
                                                           for server in rounds[0])),))
    title = f"against: {measured['new']} (new) beside {measured['old']} (old)"
    return Section(title, TEXT, (table, answers), tuple(_checks(found)))


def _round(old: Path, number: int, options: Options) -> Round:
    alike: list[str] = []
    at_defaults: list[str] = []
    for name in options.measures or MEASURES:
        (at_defaults if name in AT_DEFAULTS else alike).append(name)
    found: Round = {label: {"others": Counter()} for label in (OLD, NEW, AGAIN)}
    for names, settings in ((alike, {"job_workers": available_cores()}), (at_defaults, {})):
        contenders = [punnet(label, root, **settings) for label, root in ((OLD, old), (NEW, ROOT), (AGAIN, old))]
        for label, figures in _measured(contenders, names, number, options) if names else ():
            print(f"  round {number + 1}, {label}: {_shown(figures)}", flush=True)
            found[label] = _joined(found[label], figures)
    return found


def _measured(contenders: Sequence[Contender], names: Sequence[str], number: int,
              options: Options) -> Iterator[tuple[str, Figures]]:
    """All three run all the time, and idle while another one is asked."""
    turn = number % len(contenders)
    with ExitStack() as stack:
        trials = [Trial(server, stack.enter_context(server.run()), options) for server in contenders]
        for trial in trials:
            _warm_up(trial)
        rate_per_s = RATE_SHARE * trials[0].closed(CAPACITY_CONNECTIONS).per_s
        for name in names:
            for trial in (*trials[turn:], *trials[:turn]):
                yield trial.server.label, MEASURES[name](replace(trial, rate_per_s=rate_per_s))


def _warm_up(trial: Trial) -> None:
    """Until every job worker has run a job and the web processes have answered for a while."""
    job = trial.server.request(DETECTOR, images.photograph(WARM_UP_JOB), {"mode": "sync"})
    load = each_once(trial.service.address, [job] * 2 * available_cores(), available_cores())
    if load.others:
        raise RuntimeError(f"{trial.server.label} answered {load.others}")
    closed_loop(trial.service.address, trial.server.quick_requests(), CAPACITY_CONNECTIONS, WARM_UP_S)


def _latencies(condition: str, load: Load) -> Figures:
    return {f"{condition}, quick p{percent} ms": percentile(load.latencies_ms, percent) for percent in (50, 99)}


def _joined(before: Figures, after: Figures) -> Figures:
    return before | after | {"others": before["others"] + after["others"]}


def _shown(figures: Figures) -> str:
    return "; ".join(f"{name} {value:.2f}" for name, value in figures.items() if name != "others")


def _ratios(rounds: Sequence[Round], above: str, name: str) -> list[float]:
    """Within each round, to the old one; nan where the old one did nothing."""
    return [one[above][name] / one[OLD][name] if one[OLD][name] else float("nan") for one in rounds]


def _checks(found: dict[str, tuple[list[float], list[float]]]) -> Iterator[Check]:
    for name, (new, again) in found.items():
        if name in AT_LEAST:
            yield Check(f"{name}: new / old", median(new), AT_LEAST[name] - deviation(again), "x", at_least=True)
        if name in AT_MOST:
            yield Check(f"{name}: new / old", median(new), AT_MOST[name] + deviation(again), "x")


def _commit(root: Path) -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, check=True, capture_output=True,
                          text=True).stdout.strip()
