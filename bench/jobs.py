"""Jobs: how many a second, how long one takes when nothing waits, whether `eta_s` comes true, and large images in tiles
against the bare loop."""

import json
import random
import time
from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Any

from bench import images
from bench.client import Address, closed_loop, each_once, get, multipart
from bench.floor import Floor, Work
from bench.page import Check, Section, Table
from bench.peers.models import DETECTOR, QUICK
from bench.servers import running_punnet
from bench.stats import median_of, median_ratio, percentile
from bench.workload import Measured, Options

SMALL = {"224 px": (224, 224), "1 MP": (1152, 864)}
SMALL_JOBS = 300
CONNECTIONS = 4
SINGLE_JOBS = 100
PAUSE_S = 0.05  # between single jobs, so that none waits
BACKLOG = 24
BACKLOG_MEGAPIXELS = (0.05, 1, 5, 12, 24)
GOOD_FACTOR = 1.5  # an eta within it either way is of use
LARGE, LARGE_S = (4000, 3000), 15.0
LARGE_LIMIT = 0.9  # of the floor
TEXT = """\
`mode=async`. Jobs per second: from the first acceptance to the last end of a backlog. Submit to done: one job at a
time, from sending the image to having its result by `GET /jobs/<id>?wait=`. Eta: a backlog of mixed jobs (both
models, 0.05 to 24 megapixels, tiled or not, drawn by a seed); the time each really took, against the `eta_s` of its
202. Large: 12 megapixels in tiles to the detector, `mode=sync` over 4 connections; the bare loop does the same in one
process per core, in turn."""


def measure(options: Options) -> Measured:
    with running_punnet() as service, Floor() as floor:
        return {"rounds": [_small(service.address, seed, options) | _large(service.address, floor, options)
                           for seed in range(options.rounds)]}


def section(measured: Measured) -> Section:
    rounds = measured["rounds"]
    speeds = Table(("small jobs", "per second", "submit to done, p50 ms", "p99 ms"),
                   tuple((name, median_of(rounds, f"{name} per_s"), median_of(rounds, f"{name} p50_ms"),
                          median_of(rounds, f"{name} p99_ms")) for name in SMALL))
    etas = Table(("eta of a mixed backlog", "time taken / eta, median", f"within a factor of {GOOD_FACTOR:g}"),
                 ((f"{len(rounds[0]['eta_ratios'])} jobs a round",
                   median_of(rounds, lambda one: median(one["eta_ratios"])),
                   f"{median_of(rounds, lambda one: share_within(one['eta_ratios'], GOOD_FACTOR)):.0%}"),))
    share = median_ratio(rounds, "large_per_s", "floor_per_s")
    large = Table(("large images", "bare loop, per second", "Punnet, per second", "of the floor"),
                  (("12 MP in tiles", median_of(rounds, "floor_per_s"), median_of(rounds, "large_per_s"), share),))
    check = Check("large images: throughput against the bare loop", share, LARGE_LIMIT, "x", at_least=True)
    return Section("jobs: the queue", TEXT, (speeds, etas, large), (check,))


def share_within(ratios: Sequence[float], factor: float) -> float:
    """Share of the ratios that are between 1/factor and factor."""
    return sum(1 / factor <= ratio <= factor for ratio in ratios) / len(ratios)


def _small(address: Address, seed: int, options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {"eta_ratios": _eta_ratios(address, seed, options.count(BACKLOG))}
    for name, size in SMALL.items():
        image = images.photograph(size)
        times_ms = [_submit_to_done_ms(address, image) for _ in range(options.count(SINGLE_JOBS))]
        jobs = ended_jobs(address, [submission(QUICK, image) for _ in range(options.count(SMALL_JOBS))])
        found |= {f"{name} per_s": jobs_per_s(jobs), f"{name} p50_ms": percentile(times_ms, 50),
                  f"{name} p99_ms": percentile(times_ms, 99)}
    return found


def _large(address: Address, floor: Floor, options: Options) -> dict[str, float]:
    work, seconds = Work(images.photographs(LARGE), DETECTOR), options.seconds(LARGE_S)
    requests = [multipart(f"/models/{DETECTOR}/predict", images.apart(image), {"mode": "sync"})
                for _ in range(CONNECTIONS) for image in work.images]
    return {"floor_per_s": floor.run(work, seconds).per_s,
            "large_per_s": closed_loop(address, requests, CONNECTIONS, seconds).per_s}


def submission(model: str, image: bytes, **fields: str) -> bytes:
    return multipart(f"/models/{model}/predict", images.apart(image), {"mode": "async", **fields})


def _submit_to_done_ms(address: Address, image: bytes) -> float:
    time.sleep(PAUSE_S)
    begin_s = time.perf_counter()
    [(_, ended)] = ended_jobs(address, [submission(QUICK, image)])
    if ended["state"] != "succeeded":
        raise RuntimeError(f"a job ended as {ended['state']}")
    return (time.perf_counter() - begin_s) * 1000


def ended_jobs(address: Address, submissions: Sequence[bytes]) -> list[tuple[dict, dict]]:
    """Submit all, wait for each: the documents of the 202 and of the end."""
    load = each_once(address, submissions, CONNECTIONS)
    if load.others:
        raise RuntimeError(f"not accepted: {load.others}")
    accepted = [json.loads(answer.body) for answer in load.good]
    return [(job, _end(address, job)) for job in accepted]


def _end(address: Address, job: dict) -> dict:
    while True:
        _, document = get(address, f"{job['urls']['get']}?wait=60")
        if document["completed_at"] is not None:
            return document


def jobs_per_s(jobs: Sequence[tuple[dict, dict]]) -> float:
    begin = min(_moment_s(accepted["created_at"]) for accepted, _ in jobs)
    return len(jobs) / (max(_moment_s(ended["completed_at"]) for _, ended in jobs) - begin)


def _eta_ratios(address: Address, seed: int, count: int) -> list[float]:
    """Time taken / eta of each job of a mixed backlog."""
    drawn = random.Random(seed)
    jobs = ended_jobs(address, [_drawn(drawn) for _ in range(count)])
    return [(_moment_s(ended["completed_at"]) - _moment_s(accepted["created_at"])) / accepted["eta_s"]
            for accepted, ended in jobs if accepted["eta_s"]]


def _drawn(drawn: random.Random) -> bytes:
    image = images.photograph(images.frame(drawn.choice(BACKLOG_MEGAPIXELS)))
    return submission(drawn.choice((QUICK, DETECTOR)), image, tile=drawn.choice(("0", "640")))


def _moment_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
