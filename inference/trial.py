"""Tries a model in a child process first: one that crashes, hangs or eats the memory does so there.

What came of it is kept in a folder that all processes of the service share, so that a file is tried once.
`python -m inference.trial FILES REPORT SECONDS`, FILES being a `ModelFiles` as JSON, is the child.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import posix
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import inference.session
from inference.loading import load, reason_of
from inference.repository import ModelFiles, digest

LOCK_POLL_US = 20_000
LIBC = ctypes.CDLL(None)
LEAST_BYTES = 1 << 28  # the child itself needs some
MOVED = 75  # sysexits.h's EX_TEMPFAIL
SERVED, FAILED = ".served", ".failed"  # endings of the verdicts' files; a start removes the latter
TRIAL_S = 120  # a model of 1 GB takes about 5
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
    """The verdicts on all models, in a folder shared by the service's processes; one trial at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: int | None = None
        self._ended = False

    def known(self, files: ModelFiles) -> Verdict | None:
        """The verdict on exactly these files, if they were tried."""
        if self._file(files, SERVED).is_file():
            return Verdict("")
        failed = self._file(files, FAILED)
        return Verdict(failed.read_text()) if failed.is_file() else None

    def verdict(self, files: ModelFiles, patience_s: float = TRIAL_S) -> Verdict | None:
        """The verdict on exactly these files; tries them if nobody has, and waits for who does. None where they moved
        meanwhile, or where the patience was too little."""
        known = self.known(files)
        if known is not None:
            return known
        with self._lock(patience_s) as free:
            return (self.known(files) or self._tried(files, patience_s)) if free else None

    def end(self) -> None:
        """For good, also the trial that is under way: the process is to stop."""
        self._ended, child = True, self._child
        if child is not None:
            _kill_group(child)

    def forget(self, files: ModelFiles) -> None:
        """Of a model that is gone."""
        for suffix in (SERVED, FAILED):
            for file in self._folder.glob(f"{_name(files)}-*{suffix}"):
                file.unlink(missing_ok=True)

    def _tried(self, files: ModelFiles, patience_s: float) -> Verdict | None:
        if self._ended:
            return None
        report = self._folder / "report"
        report.unlink(missing_ok=True)
        self._child = _spawn(files, report, max(1, round(patience_s)))
        if self._ended:  # just now
            _kill_group(self._child)
        status = _wait(self._child)
        self._child = None
        verdict = _verdict_of(status, report)
        if self._ended or verdict is None or (status == -signal.SIGALRM and patience_s < TRIAL_S):
            return None
        self.forget(files)
        report.write_text(verdict.reason)
        report.replace(self._file(files, FAILED if verdict.reason else SERVED))
        return verdict

    def _file(self, files: ModelFiles, suffix: str) -> Path:
        tried = f"{files.folder} {files.mark} {inference.session.VERSION} {sys.version}"
        return self._folder / f"{_name(files)}-{digest(tried)}{suffix}"

    @contextmanager
    def _lock(self, patience_s: float) -> Iterator[bool]:
        """Whether it could be had in time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as file:
            yield _locked(file, time.monotonic() + patience_s)


def _name(files: ModelFiles) -> str:
    return f"{files.name}@{files.version}"


# Spawn, wait and sleep are the system's own: under gevent those of `os`, `subprocess` and `time` need its hub, which
# does not run in a native thread, and not yet in the arbiter.


def _spawn(files: ModelFiles, report: Path, patience_s: int) -> int:
    """The child's pid, which is its process group's too. It ends itself in time."""
    command = [sys.executable, "-m", "inference.trial", _to_json(files), str(report), str(patience_s)]
    return posix.posix_spawn(sys.executable, command, os.environ | {"PYTHONPATH": str(ROOT)}, setpgroup=0)


def _wait(child: int) -> int:
    """Its exit code, or its signal below 0; what it started ends with it."""
    status = os.waitstatus_to_exitcode(posix.waitpid(child, 0)[1])
    _kill_group(child)
    return status


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def _locked(file: IO[str], deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            LIBC.usleep(LOCK_POLL_US)


def _verdict_of(status: int, report: Path) -> Verdict | None:
    """None where nothing was found out: the files moved meanwhile, or the report could not be written."""
    if status == MOVED:
        return None
    if status == 0 and report.is_file():
        return Verdict(report.read_text())
    if status >= 0:
        return Verdict(f"its trial ended without a result (exit code {status}): does its hooks.py leave the process?")
    number = signal.Signals(-status)
    return Verdict(ADVICE.get(number, f"loading it ends the process ({number.name}): the file is damaged or uses what "
                              "this onnxruntime cannot run, or its hooks.py does it; export it again"))


def _to_json(files: ModelFiles) -> str:
    return json.dumps(asdict(files) | {"folder": str(files.folder), "onnx": str(files.onnx or "")})


def _from_json(text: str) -> ModelFiles:
    values = json.loads(text)
    return ModelFiles(**values | {"folder": Path(values["folder"]), "onnx": Path(values["onnx"])})


def _limit(patience_s: int) -> None:
    """The child ends by itself: SIGALRM's default ends it in native code too; memory is what is free now."""
    signal.alarm(patience_s)
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    resource.setrlimit(resource.RLIMIT_DATA, (_free_bytes(), resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Path("/proc/self/oom_score_adj").write_text("1000")  # if the memory ends all the same, it is this one's fault


def _free_bytes() -> int:
    """Of the machine, or of the cgroup where that is less."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and limit.read_text().strip() != "max":
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return max(free, LEAST_BYTES)


def main(files: str, report: str, patience_s: str) -> None:
    _limit(int(patience_s))
    try:
        load(_from_json(files))
        reason = ""
    except FileNotFoundError:
        sys.exit(MOVED)
    except Exception as error:  # whatever the files bring is what the trial is for
        reason = reason_of(error)
    try:
        Path(report).write_text(reason)
    except OSError:  # a full disk says nothing about the model
        sys.exit(MOVED)


if __name__ == "__main__":
    main(*sys.argv[1:])
