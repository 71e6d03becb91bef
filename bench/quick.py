"""Quick requests: what the server adds to the bare loop, in CPU time per request and in throughput.

`.venv/bin/python -m bench.quick [--rounds 5] [--seconds 4]`. In each round, one after the other: the bare loop in one
process per core, multipart uploads from 8 connections, raw bodies from 8 connections.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.pool import Pool
from statistics import median

from bench import load
from bench.common import Server, leaf_jpegs, print_table, running_server, verdict
from bench.floor import Floor

SIDE = 224
CONNECTIONS = 8
# Milliseconds of CPU a request may take beyond the bare loop: issue 2, point 4.
LIMITS_MS = {"multipart": 1.2, "raw": 0.8}
WARM_UP_S = 0.5
# A gunicorn worker with more than this share of the CPU time had all the connections, or nearly: keep-alive pins a
# connection to its worker, and the other core idles. Throughput suffers, CPU per request does not.
LOPSIDED = 0.8


@dataclass(frozen=True)
class Phase:
    """What one phase of one round measured, CPU per request.

    `client_ms` is the client's, not part of `cpu_ms`; `busiest` the busiest gunicorn worker's share of the CPU time,
    0 where there is only one.
    """

    per_s: float
    cpu_ms: float
    client_ms: float = 0.0
    busiest: float = 0.0


Round = dict[str, Phase]


def main() -> None:
    options = _options()
    pictures = leaf_jpegs(SIDE)
    print(f"{len(pictures)} leaves of {SIDE} px, {sum(map(len, pictures)) / len(pictures) / 1000:.1f} kB each; "
          f"{CONNECTIONS} connections; {options.rounds} rounds of {options.seconds:g} s a phase")
    with running_server() as server, _client() as client, _floor(server, pictures) as floor:
        print(f"{floor.processes} processes in the loop, {server.settings.workers} gunicorn workers. The client "
              "shares the cores with the server;\nits CPU time is not in the server's, but lowers its throughput.\n")
        requests = {"multipart": [*map(load.multipart, pictures)], "raw": [*map(load.raw, pictures)]}
        _round(server, client, floor, requests, WARM_UP_S)
        rounds = [_said(number, _round(server, client, floor, requests, options.seconds))
                  for number in range(1, options.rounds + 1)]
    _report(rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.quick")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each phase")
    return parser.parse_args()


@contextmanager
def _client() -> Iterator[Pool]:
    with get_context("spawn").Pool(1) as pool:
        yield pool


@contextmanager
def _floor(server: Server, pictures: list[bytes]) -> Iterator[Floor]:
    floor = Floor(server.settings, pictures)
    try:
        yield floor
    finally:
        floor.close()


def _round(server: Server, client: Pool, floor: Floor, requests: dict[str, list[bytes]], seconds: float) -> Round:
    per_s, cpu_s = floor.run(seconds)
    return {"floor": Phase(per_s, cpu_s * 1000)} | {
        name: _served(server, client, bodies, seconds) for name, bodies in requests.items()}


def _served(server: Server, client: Pool, requests: list[bytes], seconds: float) -> Phase:
    before = server.workers_cpu_s()
    seen: load.Load = client.apply(load.run, (server.address, requests, CONNECTIONS, seconds))
    after = server.workers_cpu_s()
    if before.keys() != after.keys():
        raise RuntimeError("a gunicorn worker ended meanwhile")
    used_s = [after[pid] - before[pid] for pid in after]
    return Phase(seen.requests / seen.elapsed_s, sum(used_s) / seen.requests * 1000,
                 seen.cpu_s / seen.requests * 1000, max(used_s) / sum(used_s) if len(used_s) > 1 else 0)


def _said(number: int, measured: Round) -> Round:
    """Print a round as it ends."""
    phases = "   ".join(f"{name} {phase.per_s:.0f}/s {phase.cpu_ms:.2f} ms" for name, phase in measured.items())
    lopsided = [name for name in LIMITS_MS if measured[name].busiest > LOPSIDED]
    note = f"   ({', '.join(lopsided)}: nearly all connections on one worker)" if lopsided else ""
    print(f"round {number}   {phases}{note}", flush=True)
    return measured


def _report(rounds: list[Round]) -> None:
    """Medians over the rounds; ratios and differences are taken within a round first."""
    print("\nmedians:")
    heads = ("", "per second", "of the floor", "CPU ms", "beyond the floor", "limit", "client CPU ms", "busiest worker")
    floor = median(one["floor"].per_s for one in rounds), median(one["floor"].cpu_ms for one in rounds)
    beyond_ms = {name: median(one[name].cpu_ms - one["floor"].cpu_ms for one in rounds) for name in LIMITS_MS}
    print_table(heads, [("floor", f"{floor[0]:.1f}", "100%", floor[1], "-", "-", "-", "-")] + [
        _row(name, [one[name] for one in rounds], rounds, beyond_ms[name]) for name in LIMITS_MS])
    print()
    for name, limit_ms in LIMITS_MS.items():
        print(verdict(f"{name}, CPU beyond the floor", beyond_ms[name], limit_ms, "ms"))


def _row(name: str, phases: list[Phase], rounds: list[Round], beyond_ms: float) -> tuple[object, ...]:
    ratio = median(one[name].per_s / one["floor"].per_s for one in rounds)
    return (name, f"{median(phase.per_s for phase in phases):.1f}", f"{ratio:.0%}",
            median(phase.cpu_ms for phase in phases), beyond_ms, LIMITS_MS[name],
            median(phase.client_ms for phase in phases), f"{median(phase.busiest for phase in phases):.0%}")


if __name__ == "__main__":
    main()
