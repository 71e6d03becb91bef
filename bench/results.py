"""What was measured, kept as one JSON file for each workload, so that the page is written without measuring again."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench import machine, pictures
from bench.workload import Measured, Options
from settings import ROOT

FOLDER = ROOT / "bench" / "results"


@dataclass(frozen=True)
class Result:
    """One workload's. `when` is a date and a time to the minute; `options` are those it was measured with; `pictures`
    says which were at hand."""

    workload: str
    when: str
    machine: dict[str, Any]
    pictures: str
    options: dict[str, Any]
    measured: Measured


def made_now(workload: str, options: Options, measured: Measured) -> Result:
    return Result(workload, now(), machine.facts(), ", ".join(pictures.described()), asdict(options), measured)


def now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M")


def save(result: Result, folder: Path = FOLDER) -> None:
    folder.mkdir(exist_ok=True)
    text = json.dumps(asdict(result), indent=1)
    (folder / f"{result.workload}.json").write_text(text + "\n", "utf-8")


def load(workload: str, folder: Path = FOLDER) -> Result | None:
    """None where it was never measured."""
    file = folder / f"{workload}.json"
    return Result(**json.loads(file.read_text("utf-8"))) if file.is_file() else None
