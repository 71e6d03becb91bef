"""What was measured, one JSON file for each workload, and docs/performance.md, which is written from them alone."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from bench import images, machine, servers
from bench.page import Section, check_table, markdown
from bench.workload import Measured, Options
from settings import ROOT

RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "performance.md"
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
in each process; with its default of one, every slow image blocks the quick ones behind it. Their code is in
`bench/peers`; what they answer was looked at.
"""
AGAIN = """\
## Again

```sh
.venv/bin/python -m bench --peers            # all; --only flood,jobs for some, --rounds N
.venv/bin/python -m bench --quickly          # a smoke run that writes nothing
.venv/bin/python -m bench --report           # this page, from what was measured before
```

[bench/README.md](../bench/README.md) says what each workload does.
"""


@dataclass(frozen=True)
class Result:
    """What was measured of a workload. `when` is a date and a time to the minute; `images` says which were at hand."""

    workload: str
    when: str
    machine: dict[str, Any]
    images: str
    options: dict[str, Any]
    measured: Measured


def made_now(workload: str, options: Options, measured: Measured) -> Result:
    return Result(workload, now(), machine.facts(), ", ".join(images.described()), asdict(options), measured)


def now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M")


def save(result: Result) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{result.workload}.json").write_text(json.dumps(vars(result), indent=1) + "\n", "utf-8")


def load(workload: str) -> Result | None:
    """The result of a workload that was ever measured."""
    file = RESULTS / f"{workload}.json"
    return Result(**json.loads(file.read_text("utf-8"))) if file.is_file() else None


def page(parts: Sequence[tuple[Result, Section]]) -> str:
    """The text of the page: all limits, then each workload."""
    peers = [_peers()] if any(result.options["peers"] for result, _ in parts) else []
    return "\n".join([*_summary(parts), *(_part(result, section) for result, section in parts), *peers, AGAIN])


def _summary(parts: Sequence[tuple[Result, Section]]) -> Iterator[str]:
    yield HEAD
    yield "\n\n".join(dict.fromkeys(_conditions(result) for result, _ in parts)) + "\n"
    yield markdown(check_table([check for _, section in parts for check in section.checks])) + "\n"


def _conditions(result: Result) -> str:
    return f"{machine.described(result.machine)}. Images: {result.images}."


def _peers() -> str:
    return PEERS.format(versions=", ".join(peer.version for peer in servers.PEERS))


def _part(result: Result, section: Section) -> str:
    measured = f"Measured {result.when}, {result.options['rounds']} rounds."
    return "\n\n".join([f"## {section.title}", section.text, measured, *map(markdown, section.tables)]) + "\n"
