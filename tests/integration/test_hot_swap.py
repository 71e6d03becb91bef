"""A model's folder is changed under load: by copy and by rename, with good files and broken ones in turn."""

import http.client
import itertools
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.images import leaf
from tests.integration.server import Server, wait_until
from tests.onnx_models import classifier

pytestmark = pytest.mark.alone

SWAPS = int(os.environ.get("PUNNET_TEST_REPLACEMENTS", "6"))
CLIENTS = 8
PAUSE_S = 0.02  # of a client between two requests: 300 a second in all, and a processor that is not all taken
CLASSES = (2, 3, 4)  # each good model has another number of them than the one before
FOLLOW_S = 40  # for a new generation while clients take all cores; some seconds without


@dataclass
class Load:
    """Clients that post all the time; every fourth posts jobs. Keeps what was not an answer."""

    server: Server
    allowed: set[int] = field(default_factory=set)
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        mode = "async" if number % 4 == 0 else "auto"
        while not self.ended.is_set():
            connection.request("POST", f"/predict?model_type=swap&top_k=9&mode={mode}", leaf(64),
                               {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            self.note(response.status, json.loads(response.read()))
            self.ended.wait(0.5 if mode == "async" else PAUSE_S)

    def note(self, status: int, answer: dict) -> None:
        self.answered += 1
        if status == 202:
            self.jobs.append(answer["id"])
        elif status != 200 or len(answer["result"]["predictions"]) not in self.allowed:
            self.wrong.append(f"{status} {answer}")


@pytest.fixture
def swapped(tmp_path: Path) -> Path:
    """A repository with one model, `swap`, of two classes."""
    classifier(tmp_path / "models" / "swap" / "model.onnx", classes=CLASSES[0])
    return tmp_path / "models" / "swap" / "model.onnx"


@pytest.fixture
def own(tmp_path: Path, swapped: Path) -> Iterator[Server]:
    server = Server(tmp_path, {"MODELS_DIR": swapped.parent.parent, "WORKERS": 2})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def load(own: Server) -> Iterator[Load]:
    running = Load(own, {CLASSES[0]})
    threads = [threading.Thread(target=running.run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    yield running
    running.ended.set()
    for thread in threads:
        thread.join()


def by_copy(new: Path, place: Path) -> None:
    shutil.copyfile(new, place)


def by_rename(new: Path, place: Path) -> None:
    new.replace(place)


def broken_files(folder: Path, good: bytes) -> Iterator[Path]:
    """What may stand where a model should."""
    contents = itertools.cycle([good[: len(good) // 2], b"", b"no model at all" * 100,
                                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", good[:-1]])
    for number, content in enumerate(contents):
        path = folder / f"broken{number}.onnx"
        path.write_bytes(content)
        yield path


def classes_told(server: Server) -> list[int]:
    """How many classes answers have, asked on enough connections to meet each process."""
    answers = [server.predict(leaf(64), "swap", top_k="9") for _ in range(12)]
    return sorted({len(answer.json["result"]["predictions"]) for answer in answers})


def test_replacements_under_load_fail_no_request(own: Server, swapped: Path, load: Load, tmp_path: Path) -> None:
    puts: Iterator[Callable[[Path, Path], None]] = itertools.cycle([by_copy, by_copy, by_rename, by_rename])
    broken, numbers = broken_files(tmp_path, swapped.read_bytes()), itertools.cycle(CLASSES[1:] + CLASSES[:1])
    before = CLASSES[0]
    for swap in range(SWAPS):
        if swap % 2:
            next(puts)(next(broken), swapped)
            wait_until(lambda: "cannot be served" in own.get("/models/swap").json.get("reason", ""), FOLLOW_S)
        else:
            classes = next(numbers)
            load.allowed = {before, classes}
            next(puts)(classifier(tmp_path / "new.onnx", classes=classes), swapped)
            wait_until(lambda classes=classes: classes_told(own) == [classes], FOLLOW_S)  # type: ignore[misc]
            before = classes
    load.ended.set()
    states = [own.job(job_id, wait_s=30)["state"] for job_id in load.jobs]
    print(f"{SWAPS} swaps, {load.answered} answers, {len(load.jobs)} jobs")
    assert load.wrong == []
    assert set(states) == {"succeeded"}
