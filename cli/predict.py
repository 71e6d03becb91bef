"""`punnet predict`: many images, several at a time."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cli.client import Client, Refused, Unreachable
from cli.journal import Journal, digest

NOT_DRAWN = 406
MOST_TOLD = 3  # predictions of one image in the table


@dataclass(frozen=True)
class Wish:
    """What is asked of each image."""

    model: str
    parameters: Mapping[str, Any]
    drawings: Path | None = None


@dataclass(frozen=True)
class Done:
    """An image with its answer, or the problem in its place."""

    file: Path
    answer: Mapping[str, Any]

    @property
    def is_answered(self) -> bool:
        return "result" in self.answer

    def to_json(self) -> str:
        return json.dumps({"file": str(self.file), **self.answer}, ensure_ascii=False)


def predict_all(client: Client, files: Iterable[Path], wish: Wish, journal: Journal, at_a_time: int) -> Iterator[Done]:
    """Each image as it is done."""
    with ThreadPoolExecutor(at_a_time) as pool:
        yield from (future.result() for future in as_completed(
            [pool.submit(_predict, client, file, wish, journal) for file in files]))


def _predict(client: Client, file: Path, wish: Wish, journal: Journal) -> Done:
    try:
        image = file.read_bytes()
        known = journal.answer(digest(image))
        answer = known or _asked(client, image, wish, journal.key(digest(image)))
        if known is None:
            if wish.drawings is not None:
                _draw(client, answer["id"], wish.drawings / f"{file.stem}.png")
            journal.note(digest(image), answer)
        return Done(file, answer)
    except Refused as refused:
        return Done(file, {"status": refused.status, "error": refused.problem})
    except (Unreachable, OSError) as error:
        return Done(file, {"status": 0, "error": {"detail": str(error)}})


def _asked(client: Client, image: bytes, wish: Wish, key: str) -> Mapping[str, Any]:
    """As a job where a drawing is wanted too, so that it is computed once."""
    mode = {} if wish.drawings is None else {"mode": "async"}
    return client.predict(image, wish.model, key, **wish.parameters, **mode)


def _draw(client: Client, job_id: str, file: Path) -> None:
    """Nothing for a task that draws nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.write_bytes(client.drawing(job_id))
    except Refused as refused:
        if refused.status != NOT_DRAWN:
            raise


# What is shown


def shown(done: Iterable[Done], count: int, as_json: bool) -> int:
    """Print answers as they come: JSON lines, or a table at the end. Returns how many images were not answered."""
    failed, table = 0, Table("image", "answer", "ms", box=None, header_style="bold")
    with _progress() as progress:
        task = progress.add_task("", total=count)
        for one in done:
            failed += not one.is_answered
            if as_json:
                print(one.to_json(), flush=True)
            else:
                table.add_row(Text(str(one.file)), _told(one), _milliseconds(one))
            progress.advance(task)
    if not as_json:
        Console().print(table)
    return failed


def _progress() -> Progress:
    """On the standard error, where it is a terminal."""
    console = Console(stderr=True)
    return Progress(TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console,
                    transient=True, disable=not sys.stderr.isatty())


def _told(one: Done) -> Text:
    if not one.is_answered:
        error = one.answer["error"]
        return Text(error.get("detail") or error.get("title") or "", style="red")
    result = one.answer["result"]
    predictions = result.get("predictions")
    if predictions is None:
        return Text(result["task"])
    more = f" … {len(predictions)} in all" if len(predictions) > MOST_TOLD else ""
    return Text(", ".join(map(_labelled, predictions[:MOST_TOLD])) + more if predictions else "nothing found")


def _labelled(prediction: Mapping[str, Any]) -> str:
    score = prediction.get("score")
    return prediction["label"] if score is None else f"{prediction['label']} {score:.0%}"


def _milliseconds(one: Done) -> str:
    return f"{one.answer['timings_ms']['total']:.0f}" if "timings_ms" in one.answer else ""
