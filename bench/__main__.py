"""`python -m bench`: measure Punnet, with `--peers` other servers too, and write docs/performance.md. With `--against
DIR`: compare it with another checkout."""

import argparse
import gc
from collections.abc import Callable, Collection

from bench import (
    against,
    command_line,
    drain,
    flood,
    jobs,
    loading,
    machine,
    report,
    servers,
    share,
    silent,
    throughput,
    waiting,
)
from bench.page import check_table, markdown
from bench.workload import Options, Workload

# In the order of the page.
WORKLOADS: dict[str, Workload] = {"flood": flood, "share": share, "throughput": throughput, "jobs": jobs,
                                  "drain": drain, "silent": silent, "waiting": waiting, "loading": loading,
                                  "command_line": command_line}
AGAINST = "against"
ALL: dict[str, Workload] = WORKLOADS | {AGAINST: against}
ROUNDS, ROUNDS_AGAINST = Options().rounds, 9
QUICK_SCALE = 0.05


def main() -> None:
    gc.disable()  # it would pause the clients
    arguments = _arguments()
    if not arguments.report:
        _measure_all(arguments)
    if not arguments.quickly:
        _report()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, against another checkout {ROUNDS_AGAINST}")
    parser.add_argument("--scale", type=float, default=1.0, help="times the seconds and requests of each phase")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="NAME,NAME",
                        help=f"of {', '.join(WORKLOADS)}; against another checkout of {', '.join(against.MEASURES)}")
    parser.add_argument("--peers", action="store_true", help="measure LitServe, BentoML and FastAPI too")
    parser.add_argument("--against", metavar="DIR", help="another checkout of Punnet, measured in turn with this one")
    parser.add_argument("--quickly", action="store_true", help="a smoke run of one short round; writes nothing")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from bench/results")
    arguments = parser.parse_args()
    known: Collection[str] = against.MEASURES if arguments.against else WORKLOADS
    if unknown := set(arguments.only or ()) - set(known):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return arguments


def _measure_all(arguments: argparse.Namespace) -> None:
    print(f"{report.now()}: {machine.described(machine.facts())}\n", flush=True)
    options = _options(arguments)
    if options.peers:
        servers.prepare()
    for name in [AGAINST] if options.against else arguments.only or WORKLOADS:
        _measure(name, options, (lambda _: None) if arguments.quickly else report.save)


def _options(arguments: argparse.Namespace) -> Options:
    rounds, scale = arguments.rounds or (ROUNDS_AGAINST if arguments.against else ROUNDS), arguments.scale
    if arguments.quickly:
        rounds, scale = 1, QUICK_SCALE
    return Options(rounds, scale, arguments.peers, arguments.against or "", tuple(arguments.only or ()))


def _measure(name: str, options: Options, keep: Callable[[report.Result], None]) -> None:
    """Measure, show and keep one workload; what was kept of the others stays."""
    print(f"{name} ...", flush=True)
    result = report.made_now(name, options, ALL[name].measure(options))
    section = ALL[name].section(result.measured)
    print(*map(markdown, (*section.tables, check_table(section.checks))), sep="\n\n", end="\n\n", flush=True)
    keep(result)


def _report() -> None:
    found = [(result, workload.section(result.measured)) for name, workload in ALL.items()
             if (result := report.load(name)) is not None]
    report.PAGE.write_text(report.page(found), "utf-8")
    print(f"wrote {report.PAGE} from {len(found)} workloads")


if __name__ == "__main__":
    main()
