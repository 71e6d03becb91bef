"""What was asked and answered already, so that a second call with --resume does no image twice."""

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "punnet"


class Journal:
    """A file of one kind of call: the same server, model and parameters. Its first line is the run's name, from which
    each image's Idempotency-Key is made: what was under way when a run was killed is known to the server by it. A try
    that failed is noted too, with null for its answer, for a job stays its key's: the next try has another key."""

    def __init__(self, path: Path, resume: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if resume and path.is_file() else []
        self.run = json.loads(lines[0]) if lines else os.urandom(8).hex()
        entries = [entry for entry in map(_entry, lines[1:]) if entry]
        self._done = {digest: answer for digest, answer in entries if answer is not None}
        self._failed = Counter(digest for digest, answer in entries if answer is None)
        self._file = path.open("a" if lines else "w")
        self._lock = threading.Lock()
        if lines:
            self._file.write("\n")  # a kill may have cut the last line short
        else:
            self._write(self.run)

    @classmethod
    def of(cls, call: Mapping[str, Any], resume: bool) -> "Journal":
        name = hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()[:16]
        return cls(folder() / f"{name}.jsonl", resume)

    def answer(self, digest: str) -> dict[str, Any] | None:
        """What was answered for the image with this digest."""
        return self._done.get(digest)

    def note(self, digest: str, answer: Mapping[str, Any] | None) -> None:
        """What was answered; None for a try that failed."""
        self._write([digest, answer])

    def key(self, digest: str) -> str:
        failed = self._failed[digest]
        return f"{self.run}-{digest[:32]}" + (f"-{failed}" if failed else "")

    def close(self) -> None:
        self._file.close()

    def _write(self, value: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(value, ensure_ascii=False) + "\n")
            self._file.flush()


def digest(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


def _entry(line: str) -> tuple[str, dict[str, Any] | None] | None:
    """None for a line that a kill cut short."""
    try:
        found, answer = json.loads(line)
    except ValueError:
        return None
    return found, answer
