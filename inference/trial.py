"""Tries a model in a child process first: one that crashes, hangs or eats the memory does so there.

What came of it is kept in a folder that all processes of the service share, so that a file is tried once.
`python -m inference.trial FILES`, FILES being a `ModelFiles` as JSON, is the child.
"""

import fcntl
import hashlib
import json
import os
import posix
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import inference.session
from inference.errors import ModelNotUsable
from inference.loading import load
from inference.repository import ModelFiles

SERVED, FAILED = ".served", ".failed"  # endings of the verdicts' files; a start removes the latter
TRIAL_S = 120  # of processor and wall time; a model of 1 GB takes about 5
NICENESS = 5  # gives way to requests, and still comes to an end where they take all cores: at 10 it took 20 s
ROOT = Path(__file__).resolve().parent.parent
ADVICE = {signal.SIGALRM: f"loading it and one prediction take longer than {TRIAL_S} s: a smaller model, please",
          signal.SIGKILL: "the system killed it while it was loaded, most likely for want of memory: "
                          "give the machine more, or export a smaller model"}


@dataclass(frozen=True)
class Verdict:
    """What a trial found: `reason` is empty where the model can be served."""

    reason: str


class Trials:
    """The verdicts on all models, in a folder shared by the service's processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def known(self, files: ModelFiles) -> Verdict | None:
        """The verdict on exactly these files, if they were tried."""
        if self._file(files, SERVED).is_file():
            return Verdict("")
        failed = self._file(files, FAILED)
        return Verdict(failed.read_text()) if failed.is_file() else None

    def verdict(self, files: ModelFiles) -> Verdict:
        """The verdict on exactly these files; tries them if nobody has, and waits for who does."""
        with self._lock(files):
            return self.known(files) or self._keep(files, _try(files))

    def _keep(self, files: ModelFiles, verdict: Verdict) -> Verdict:
        for old in (*self._folder.glob(f"{_name(files)}-*{SERVED}"), *self._folder.glob(f"{_name(files)}-*{FAILED}")):
            old.unlink(missing_ok=True)
        new = self._folder / f"{_name(files)}.new"
        new.write_text(verdict.reason)
        new.replace(self._file(files, FAILED if verdict.reason else SERVED))
        return verdict

    def _file(self, files: ModelFiles, suffix: str) -> Path:
        tried = f"{files.folder} {files.mark} {inference.session.VERSION} {sys.version}"
        return self._folder / f"{_name(files)}-{hashlib.sha256(tried.encode()).hexdigest()[:24]}{suffix}"

    @contextmanager
    def _lock(self, files: ModelFiles) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{_name(files)}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _name(files: ModelFiles) -> str:
    return f"{files.name}@{files.version}"


def _try(files: ModelFiles) -> Verdict:
    """Spawn, close, read, wait, all of them the system's own: under gevent those of `os` and `subprocess` need its
    hub, which does not run in a native thread, and not yet in the arbiter. The child ends itself in time."""
    reading, writing = posix.pipe()
    try:
        child = posix.posix_spawn(sys.executable, [sys.executable, "-m", "inference.trial", _to_json(files)],
                                  os.environ | {"PYTHONPATH": str(ROOT)},
                                  file_actions=[(posix.POSIX_SPAWN_DUP2, writing, 1)])
    finally:
        posix.close(writing)
    with os.fdopen(reading, "rb") as output:
        told = output.read()
    status = os.waitstatus_to_exitcode(posix.waitpid(child, 0)[1])
    return _verdict_of(status, told.decode(errors="replace"))


def _verdict_of(status: int, told: str) -> Verdict:
    if status == 0:
        return Verdict(**json.loads(told.strip().splitlines()[-1]))
    if status < 0:
        name = signal.Signals(-status).name
        return Verdict(ADVICE.get(signal.Signals(-status), f"loading it crashes onnxruntime ({name}): the file is "
                                  "damaged or uses what this onnxruntime cannot run; export it again"))
    return Verdict(f"trying it in a child process failed with exit code {status}; the error log has more")


def _to_json(files: ModelFiles) -> str:
    return json.dumps(asdict(files) | {"folder": str(files.folder), "onnx": str(files.onnx or "")})


def _from_json(text: str) -> ModelFiles:
    values = json.loads(text)
    return ModelFiles(**values | {"folder": Path(values["folder"]), "onnx": Path(values["onnx"])})


def _limit() -> None:
    """The child ends by itself: SIGALRM's default ends it in native code too; memory is what is free now."""
    signal.alarm(TRIAL_S)
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _free_bytes(), resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _free_bytes() -> int:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def main(text: str) -> None:
    _limit()
    try:
        load(_from_json(text))
        reason = ""
    except ModelNotUsable as error:
        reason = str(error)
    except Exception as error:  # whatever one model's files bring
        reason = f"it cannot be loaded: {type(error).__name__}: {error}"
    sys.stdout.write(json.dumps({"reason": reason}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
