"""`punnet predict`: many images, several at a time.

Until the first image is sent the server waits, so little is loaded: of named tuples, for one, not even a tenth of what
dataclasses are made of.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from cli.client import Client, Refused, Unreachable
from cli.journal import Journal, digest

NOT_DRAWN = 406
# Of a problem that tells how a try ended. A proxy's own 504 is no problem document: the try may still be under way.
FAILED = (500, 504)


class Wish(NamedTuple):
    """What is asked of each image."""

    model: str
    parameters: Mapping[str, Any]
    drawings: Mapping[Path, Path] | None = None  # where each is saved


class Done(NamedTuple):
    """An image with its answer, or the problem in its place."""

    file: Path
    answer: Mapping[str, Any]

    @property
    def is_answered(self) -> bool:
        return "result" in self.answer

    def to_json(self) -> str:
        return json.dumps({"file": str(self.file), **self.answer}, ensure_ascii=False)


Ended = SimpleQueue[Done | Exception]


def predict_all(client: Client, files: Iterable[Path], wish: Wish, journal: Journal, at_a_time: int) -> Iterator[Done]:
    """Each image as it is done. The first are under way when this returns."""
    waiting, ended = deque(files), Ended()
    predict, count = partial(_predict, client, wish, journal), len(waiting)
    threads = [threading.Thread(target=_work, args=(predict, waiting, ended), daemon=True) for _ in range(at_a_time)]
    for thread in threads:
        thread.start()
    return _as_they_end(waiting, ended, count, threads)


def _as_they_end(waiting: "deque[Path]", ended: "Ended", count: int,
                 threads: Sequence[threading.Thread]) -> Iterator[Done]:
    """Whoever stops looking waits for those alone that are under way."""
    try:
        for _ in range(count):
            one = ended.get()
            if isinstance(one, Exception):
                raise one
            yield one
    finally:
        waiting.clear()
        for thread in threads:
            thread.join()


def _work(predict: Callable[[Path], Done], waiting: "deque[Path]", ended: "Ended") -> None:
    """A thread's life. A fault of ours is raised where the answers are looked at."""
    while True:
        try:
            file = waiting.popleft()
        except IndexError:
            return
        try:
            ended.put(predict(file))
        except Exception as error:
            ended.put(error)


def _predict(client: Client, wish: Wish, journal: Journal, file: Path) -> Done:
    try:
        image = file.read_bytes()
        name = digest(image)
        answer = journal.answer(name)
        if answer is None:
            answer = _asked(client, image, wish, journal, name)
            if wish.drawings is not None:
                _draw(client, answer["id"], wish.drawings[file])
            journal.note(name, answer)
        return Done(file, answer)
    except Refused as refused:
        return Done(file, {"status": refused.status, "error": refused.problem})
    except (Unreachable, OSError) as error:
        return Done(file, {"status": 0, "error": {"detail": str(error)}})


def _asked(client: Client, image: bytes, wish: Wish, journal: Journal, name: str) -> dict[str, Any]:
    """As a job where a drawing is wanted too, so that it is computed once."""
    mode = {} if wish.drawings is None else {"mode": "async"}
    try:
        return client.predict(image, wish.model, journal.key(name), **wish.parameters, **mode)
    except Refused as refused:
        if refused.status in FAILED and "type" in refused.problem:
            journal.note(name, None)
        raise


def _draw(client: Client, job_id: str, file: Path) -> None:
    """Nothing for a task that draws nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.write_bytes(client.drawing(job_id))
    except Refused as refused:
        if refused.status != NOT_DRAWN:
            raise
