"""`punnet predict`: many images, several at a time.

Until the first image is sent the server waits, so little is loaded: of named tuples, for one, not even a tenth of what
dataclasses are made of.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from cli.client import Client, Refused, Unreachable
from cli.journal import Journal, digest

NOT_DRAWN = 406


class Wish(NamedTuple):
    """What is asked of each image."""

    model: str
    parameters: Mapping[str, Any]
    drawings: Path | None = None


class Done(NamedTuple):
    """An image with its answer, or the problem in its place."""

    file: Path
    answer: Mapping[str, Any]

    @property
    def is_answered(self) -> bool:
        return "result" in self.answer

    def to_json(self) -> str:
        return json.dumps({"file": str(self.file), **self.answer}, ensure_ascii=False)


def predict_all(client: Client, files: Iterable[Path], wish: Wish, journal: Journal, at_a_time: int) -> Iterator[Done]:
    """Each image as it is done. The first are under way when this returns."""
    pool = ThreadPoolExecutor(at_a_time)
    return _as_they_end(pool, [pool.submit(_predict, client, file, wish, journal) for file in files])


def _as_they_end(pool: ThreadPoolExecutor, asked: Sequence["Future[Done]"]) -> Iterator[Done]:
    """Whoever stops looking waits for those alone that are under way."""
    try:
        yield from (future.result() for future in as_completed(asked))
    finally:
        pool.shutdown(cancel_futures=True)


def _predict(client: Client, file: Path, wish: Wish, journal: Journal) -> Done:
    try:
        image = file.read_bytes()
        name = digest(image)
        answer = journal.answer(name)
        if answer is None:
            answer = _asked(client, image, wish, journal.key(name))
            if wish.drawings is not None:
                _draw(client, answer["id"], wish.drawings / f"{file.stem}.png")
            journal.note(name, answer)
        return Done(file, answer)
    except Refused as refused:
        return Done(file, {"status": refused.status, "error": refused.problem})
    except (Unreachable, OSError) as error:
        return Done(file, {"status": 0, "error": {"detail": str(error)}})


def _asked(client: Client, image: bytes, wish: Wish, key: str) -> dict[str, Any]:
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
