"""Worker machines: how much faster two finish tiled jobs than one, each pinned to a core; what a job costs the queue
server, and what an idle machine does.

    .venv/bin/python -m bench.machines [--jobs 200] [--rounds 3] [--small 500]
"""

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from statistics import median
from typing import Any, cast

from redis import Redis

from bench import images
from bench.jobs import ended_jobs, jobs_per_s, submission
from bench.peers.models import DETECTOR, QUICK
from bench.servers import Service, free_port, running_punnet
from ops import queue_server
from settings import available_cores

TILED = (1600, 1200)  # pixels: a dozen tiles
SMALL = (224, 224)
CORES = (0, 1)
IDLE_S = 10.0
LEAST_RATIO = 1.7


def main() -> None:
    asked = _arguments()
    with _queue_server() as url, running_punnet(roles="web", redis_url=url, queue_max_jobs=100_000) as web:
        client, ratios = Redis.from_url(url), []
        for number in range(asked.rounds):
            one, two = (_tiled_per_s(web, url, cores, asked.jobs) for cores in (CORES[:1], CORES))
            ratios.append(two / one)
            print(f"round {number + 1}: one machine {one:.2f} jobs a second, two {two:.2f}: {two / one:.2f} times",
                  flush=True)
        print(f"two machines: {median(ratios):.2f} times one, at least {LEAST_RATIO} are wanted")
        _print_costs(client, web, url, asked.small)


def _tiled_per_s(web: Service, url: str, cores: tuple[int, ...], count: int) -> float:
    """Jobs per second of as many machines as there are cores, each pinned to its own."""
    with contextlib.ExitStack() as stack:
        for core in cores:
            stack.enter_context(_machine(url, core))
        jobs = [submission(DETECTOR, images.photograph(TILED), tile="640") for _ in range(count)]
        return jobs_per_s(_succeeded(web, jobs))


def _print_costs(client: Redis, web: Service, url: str, count: int) -> None:
    """What the queue server has to do for an idle machine, and for a job beside that."""
    workers = available_cores()
    with running_punnet(roles="jobs", redis_url=url):
        time.sleep(IDLE_S / 2)
        idle = _difference(client, lambda: time.sleep(IDLE_S))
        begin_s = time.monotonic()
        jobs = [submission(QUICK, images.photograph(SMALL)) for _ in range(count)]
        busy = _difference(client, lambda: _succeeded(web, jobs))
        took_s = time.monotonic() - begin_s
    print(f"idle, with {workers} workers and a web machine: {idle['commands'] / IDLE_S:.1f} commands a second, "
          f"{idle['cpu_s'] / IDLE_S:.2%} of the queue server's core")
    commands = busy["commands"] - idle["commands"] * took_s / IDLE_S
    cpu_ms = (busy["cpu_s"] - idle["cpu_s"] * took_s / IDLE_S) * 1000
    print(f"a small job, accepted, waited for and read: {commands / count:.0f} commands, {cpu_ms / count:.2f} ms of "
          f"the queue server's core, {busy['bytes'] / count / 1000:.0f} kB; so one core carries "
          f"{count * 1000 / cpu_ms:.0f} jobs a second ({count / took_s:.0f} were done here)")
    print(", ".join(f"{name} {calls / count:.1f}" for name, calls in busy["by_name"].items() if calls / count >= 0.5))


def _difference(client: Redis, act: Any) -> dict[str, Any]:
    before = _numbers(client)
    act()
    after = _numbers(client)
    by_name = {name: calls - before["by_name"].get(name, 0) for name, calls in after["by_name"].items()}
    return {name: after[name] - before[name] for name in ("commands", "cpu_s", "bytes")} | {
        "by_name": dict(sorted(by_name.items(), key=lambda item: -item[1]))}


def _numbers(client: Redis) -> dict[str, Any]:
    """Commands of clients and of scripts."""
    found, stats = cast(dict, client.info()), cast(dict, client.info("commandstats"))
    return {"commands": found["total_commands_processed"], "cpu_s": found["used_cpu_user"] + found["used_cpu_sys"],
            "bytes": found["total_net_input_bytes"] + found["total_net_output_bytes"],
            "by_name": {name.removeprefix("cmdstat_"): value["calls"] for name, value in stats.items()}}


def _succeeded(web: Service, submissions: list[bytes]) -> list[tuple[dict, dict]]:
    jobs = ended_jobs(web.address, submissions)
    assert {ended["state"] for _, ended in jobs} == {"succeeded"}
    return jobs


@contextlib.contextmanager
def _machine(url: str, core: int) -> Iterator[None]:
    """A worker machine of one core."""
    allowed = os.sched_getaffinity(0)
    with contextlib.ExitStack() as stack:
        os.sched_setaffinity(0, {core})
        try:
            stack.enter_context(running_punnet(roles="jobs", redis_url=url))
        finally:
            os.sched_setaffinity(0, allowed)
        yield


@contextlib.contextmanager
def _queue_server() -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="punnet-bench-redis-") as folder:
        server = subprocess.Popen([queue_server.find(), "--port", str(port), "--save", "", "--appendonly", "yes",
                                   "--dir", folder], stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.machines")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", type=int, default=500, help="small jobs, to count the queue server's work")
    return parser.parse_args()


if __name__ == "__main__":
    main()
