"""`python -m bench.chaos --seed N`: 1,000 mixed jobs while processes of every kind are killed; prints a table."""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.chaos.run import MEDIAN_LIMIT_S, WORST_LIMIT_S, Found, prepare, run
from tests.integration.server import Server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600, help="at most; the jobs that are accepted by then count")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--home", type=Path, help="an empty folder that is kept, with the logs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="punnet-chaos-") as home:
        server = Server(given.home or Path(home))
        prepare(server)
        server.start()
        try:
            found = run(server, given.seed, given.seconds, given.jobs, given.clients)
        finally:
            server.stop()
    print(table(found, given.seed))
    sys.exit(not found.holds)


def table(found: Found, seed: int) -> str:
    rows = [("seed", seed), ("jobs accepted", found.jobs.total()), ("how they ended", _listed(found.jobs)),
            ("promoted", found.promoted), ("with a webhook", found.webhooks),
            ("killed", f"{found.killed.total()}: {_listed(found.killed)}"), ("answers", _listed(found.answers)),
            *(_recovered(*one) for one in sorted(found.recoveries_s.items())),
            (f"median recovery, below {MEDIAN_LIMIT_S:g} s", f"{found.median_s:.2f} s"),
            (f"worst recovery, below {WORST_LIMIT_S:g} s", f"{found.worst_s:.2f} s"),
            ("wrong", len(found.wrong))]
    return "\n".join(("| what | figure |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows),
                      *found.wrong))


def _recovered(role: str, took_s: list[float]) -> tuple[str, str]:
    median = f", median {statistics.median(took_s):.2f} s, worst {max(took_s):.2f} s" if took_s else ""
    return f"interrupted by the death of: {role}", f"{len(took_s)}{median}"


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items(), key=str))


if __name__ == "__main__":
    main()
