"""docs/performance.md and its charts, in whole, from what was measured."""

from collections.abc import Iterator, Sequence

from bench import contenders, machine, svg
from bench.page import Section, check_table, markdown
from bench.results import Result
from settings import ROOT

PAGE = ROOT / "docs" / "performance.md"
CHARTS = ROOT / "docs" / "performance"
HEAD = """\
# Performance

Written by `python -m bench --report` from `bench/results`; not to be edited by hand.

Each figure is the median of the rounds. Within a round the things that are compared take turns, and ratios are taken
before the median is, because a shared machine's speed drifts: trust ratios, and no gap under 20 %. Clients are light
single processes on the same machine, so they take some of the cores from every server alike.
"""
PEERS = """\
## How the other servers were set up

{versions}. All have the same two ONNX files, onnxruntime with one thread and without spinning, as many processes as
there are cores, and neither access log nor metrics (Punnet writes its log). FastAPI: endpoints are plain `def`, so
predictions run on its thread pool; `uvicorn --workers`. LitServe: one API per model, each with processes of its own,
its better way for mixed work (its other queue, `fast_queue`, was within the noise). BentoML: one service with 8 threads
in each process; with its default of one, every slow picture blocks the quick ones behind it. Their code is in
`bench/peers`; what they answer was looked at.
"""
AGAIN = """\
## Again

```
.venv/bin/python -m bench --peers            # all, about {minutes} minutes; --only flood,sizes for some, --rounds N
.venv/bin/python -m bench --quickly          # a smoke run that writes nothing
.venv/bin/python -m bench --report           # this page, from what was measured before
```

[bench/README.md](../bench/README.md) says what each workload does.
"""
MINUTES = 70


def write(parts: Sequence[tuple[Result, Section]]) -> None:
    """The page with all parts, in their order."""
    CHARTS.mkdir(exist_ok=True)
    for _, section in parts:
        for chart in section.charts:
            (CHARTS / f"{chart.name}.svg").write_text(svg.draw(chart), "utf-8")
    PAGE.write_text(page(parts), "utf-8")


def page(parts: Sequence[tuple[Result, Section]]) -> str:
    """Its text. The main picture, then all limits, then each workload."""
    peers = [_peers()] if any(result.options["peers"] for result, _ in parts) else []
    return "\n".join([*_summary(parts), *(_part(result, section) for result, section in parts), *peers,
                      AGAIN.format(minutes=MINUTES)])


def _summary(parts: Sequence[tuple[Result, Section]]) -> Iterator[str]:
    yield HEAD
    yield "\n\n".join(dict.fromkeys(_conditions(result) for result, _ in parts)) + "\n"
    charts = sorted((chart for _, section in parts for chart in section.charts), key=lambda chart: chart.name)
    yield "\n".join(f"![{chart.title}]({CHARTS.name}/{chart.name}.svg)\n" for chart in charts)
    yield markdown(check_table([check for _, section in parts for check in section.checks])) + "\n"


def _conditions(result: Result) -> str:
    return f"{machine.described(result.machine)}. Pictures: {result.pictures}."


def _peers() -> str:
    return PEERS.format(versions=", ".join(peer.version for peer in contenders.PEERS))


def _part(result: Result, section: Section) -> str:
    measured = f"Measured {result.when}, {result.options['rounds']} rounds."
    return "\n\n".join([f"## {section.title}", section.text, measured, *map(markdown, section.tables)]) + "\n"
