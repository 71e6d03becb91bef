"""`python -m bench`: measure Punnet, with `--peers` other servers too, and write docs/performance.md."""

import argparse
from dataclasses import replace

from bench import (
    contenders,
    decisions,
    flood,
    heavy,
    jobs,
    livez,
    machine,
    memory,
    quick,
    report,
    results,
    share,
    sizes,
    start,
    waiters,
)
from bench.page import in_terminal
from bench.workload import QUICKLY, Options, Workload

# In the order of the page.
WORKLOADS: dict[str, Workload] = {
    "flood": flood, "share": share, "quick": quick, "sizes": sizes, "heavy": heavy, "jobs": jobs,
    "decisions": decisions, "livez": livez,    "memory": memory, "waiters": waiters, "start": start}
LEAST_ROUNDS = 3


def main() -> None:
    arguments = _arguments()
    options = _options(arguments)
    if not arguments.report:
        print(f"{results.now()}: {machine.described(machine.facts())}\n", flush=True)
        if options.peers:
            contenders.prepare()
        for name in arguments.only:
            _measure(name, options)
    if not options.quickly:
        _report()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=_rounds, default=Options().rounds, help="medians of so many are reported")
    parser.add_argument("--requests", type=int, default=Options().requests,
                        help="quick requests of each condition and round, at a fixed rate")
    parser.add_argument("--only", type=_names, default=list(WORKLOADS), metavar="NAME,NAME",
                        help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--peers", action="store_true", help="measure LitServe, BentoML and FastAPI too")
    parser.add_argument("--quickly", action="store_true", help="a smoke run of each; writes nothing")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from bench/results")
    return parser.parse_args()


def _options(arguments: argparse.Namespace) -> Options:
    if arguments.quickly:
        return replace(QUICKLY, peers=arguments.peers)
    return Options(arguments.rounds, requests=arguments.requests, peers=arguments.peers)


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"at least {LEAST_ROUNDS}: fewer have no median worth the name")
    return rounds


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in WORKLOADS]:
        raise argparse.ArgumentTypeError(f"no workload {unknown[0]}; there are {', '.join(WORKLOADS)}")
    return names


def _measure(name: str, options: Options) -> None:
    """Measure, show and keep one workload; what was kept of the others stays."""
    print(f"{name} ...", flush=True)
    workload = WORKLOADS[name]
    result = results.made_now(name, options, workload.measure(options))
    print(f"{in_terminal(workload.section(result.measured))}\n", flush=True)
    if not options.quickly:
        results.save(result)


def _report() -> None:
    found = [(result, workload.section(result.measured)) for name, workload in WORKLOADS.items()
             if (result := results.load(name)) is not None]
    report.write(found)
    print(f"wrote {report.PAGE} from {len(found)} workloads")


if __name__ == "__main__":
    main()
