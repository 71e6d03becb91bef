"""Jobs: how many a second, how long one takes when nothing waits, and whether `eta_s` comes true."""

import json
import random
import time
from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Any

from bench import messages, pictures
from bench.client import Address, ask, each_once
from bench.floor import QUICK_MODEL
from bench.heavy import WORK_MODEL
from bench.page import Section, Table
from bench.servers import running_server
from bench.stats import median_of, percentile
from bench.workload import Measured, Options

SMALL = {"224 px": (224, 224), "1 MP": (1152, 864)}
SMALL_JOBS = 300
CONNECTIONS = 4  # that submit
SINGLE_JOBS = 100
PAUSE_S = 0.05  # between single jobs, so that none waits
BACKLOG = 24
BACKLOG_MEGAPIXELS = (0.05, 1, 5, 12, 24)
GOOD_FACTOR = 1.5  # an eta within it either way is of use
TEXT = """\
`mode=async`. Jobs per second: from the first acceptance to the last end of a backlog. Submit to done: one job at a
time, from sending the picture to having its result by `GET /jobs/<id>/result?wait=`. Eta: a backlog of mixed jobs (both
models, 0.05 to 24 megapixels, tiled or not, drawn by a seed); the time each really took, against the `eta_s` of its
202."""


def measure(options: Options) -> Measured:
    with running_server() as server:
        return {"workers": server.settings.job_workers,
                "rounds": [_round(server.address, seed, options) for seed in range(options.rounds)]}


def section(measured: Measured) -> Section:
    rounds = measured["rounds"]
    speeds = Table(("small jobs", "per second", "submit to done, p50 ms", "p99 ms"),
                   tuple((name, median_of(rounds, f"{name} per_s"), median_of(rounds, f"{name} p50_ms"),
                          median_of(rounds, f"{name} p99_ms")) for name in SMALL))
    etas = Table(("eta of a mixed backlog", "time taken / eta, median", f"within a factor of {GOOD_FACTOR:g}"),
                 ((f"{len(rounds[0]['eta_ratios'])} jobs a round",
                   median_of(rounds, lambda one: median(one["eta_ratios"])),
                   f"{median_of(rounds, lambda one: share_within(one['eta_ratios'], GOOD_FACTOR)):.0%}"),))
    return Section(f"jobs: the queue, {measured['workers']} job worker(s)", TEXT, (speeds, etas))


def share_within(ratios: Sequence[float], factor: float) -> float:
    """Of the ratios that are between 1/factor and factor."""
    return sum(1 / factor <= ratio <= factor for ratio in ratios) / len(ratios)


def _round(address: Address, seed: int, options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {"eta_ratios": _eta_ratios(address, seed, options.up_to(BACKLOG))}
    for name, size in SMALL.items():
        request = _submission(QUICK_MODEL, pictures.photograph(size))
        times_ms = [_submit_to_done_ms(address, pictures.photograph(size))
                    for _ in range(options.up_to(SINGLE_JOBS))]
        found |= {f"{name} per_s": _per_s(_ended(address, [request] * options.up_to(SMALL_JOBS))),
                  f"{name} p50_ms": percentile(times_ms, 50), f"{name} p99_ms": percentile(times_ms, 99)}
    return found


def _submission(model: str, picture: bytes, **fields: str) -> bytes:
    return messages.raw(f"/models/{model}/predict", picture, {"mode": "async", **fields})


def _submit_to_done_ms(address: Address, picture: bytes) -> float:
    time.sleep(PAUSE_S)
    begin_s = time.perf_counter()
    _, job = ask(address, f"/models/{QUICK_MODEL}/predict?mode=async", picture, "POST")
    status, _ = ask(address, f"{job['urls']['result']}?wait=60")
    if status != 200:
        raise RuntimeError(f"a job ended with {status}")
    return (time.perf_counter() - begin_s) * 1000


def _ended(address: Address, submissions: Sequence[bytes]) -> list[tuple[dict, dict]]:
    """Submit all, wait for each: the documents of the 202 and of the end."""
    load = each_once(address, submissions, CONNECTIONS)
    if load.others:
        raise RuntimeError(f"not accepted: {load.others}")
    accepted = [json.loads(body) for body in load.bodies]
    return [(job, _end(address, job)) for job in accepted]


def _end(address: Address, job: dict) -> dict:
    while True:
        _, document = ask(address, f"{job['urls']['get']}?wait=60")
        if document["completed_at"] is not None:
            return document


def _per_s(jobs: Sequence[tuple[dict, dict]]) -> float:
    begin = min(moment_s(accepted["created_at"]) for accepted, _ in jobs)
    return len(jobs) / (max(moment_s(ended["completed_at"]) for _, ended in jobs) - begin)


def _eta_ratios(address: Address, seed: int, count: int) -> list[float]:
    """Time taken / eta of each job of a mixed backlog."""
    drawn = random.Random(seed)
    jobs = _ended(address, [_drawn(drawn) for _ in range(count)])
    return [(moment_s(ended["completed_at"]) - moment_s(accepted["created_at"])) / accepted["eta_s"]
            for accepted, ended in jobs if accepted["eta_s"]]


def _drawn(drawn: random.Random) -> bytes:
    picture = pictures.photograph(pictures.frame(drawn.choice(BACKLOG_MEGAPIXELS)))
    return _submission(drawn.choice((QUICK_MODEL, WORK_MODEL)), picture, tile=drawn.choice(("0", "640")))


def moment_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
