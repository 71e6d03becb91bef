"""Tries each model in a child process first: one that crashes, hangs or eats the memory does so there.

The result is a file, so that a model is tried once. `nursery.py` forks the children, `trying.py` is what they run.
"""

import contextlib
import functools
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from inference.model_info import ModelInfo
from inference.model_names import in_file_name
from inference.nursery import Child, Nursery
from inference.repository import ModelFiles, digest
from inference.trying import MOVED, TRIAL_S, refusal, to_json

TRIED, FAILED = ".tried", ".failed"  # endings of the results' files; a start removes the latter
GRACE_S = 5
# After so many seconds a trial gives up its place: it goes on, and others begin beside it.
SLOW_S = 5.0
MOST_AT_A_TIME = 8
SLOW_NICENESS = 15
IDLE_S = 2.0  # after so long without a trial the memory of the nursery is given back
NOBODY = 2 ** 31 - 1  # no process has this number
ADVICE = {signal.SIGALRM: f"loading it and one prediction take longer than {TRIAL_S} s: a smaller model, please",
          signal.SIGKILL: "the system killed it while it was loaded, most likely for want of memory: "
                          "give the machine more, or export a smaller model"}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialResult:
    """`info` is what a model is that can be served; otherwise `reason` says why it cannot."""

    reason: str = ""
    info: ModelInfo | None = None


@dataclass
class _Running:
    """A trial under way."""

    files: ModelFiles
    fingerprint: str
    child: Child
    report: Path
    is_slow: bool = False
    is_overdue: bool = False
    is_ended: bool = False  # nobody wants it any more


class Trials:
    """The trials of one service: which are known, which are under way. At most `places` are, besides the slow ones."""

    def __init__(self, folder: Path, places: int) -> None:
        self._folder, self._places = folder, max(2, places)
        self._running: dict[str, _Running] = {}
        self._nursery, self._idle_since = Nursery(), time.monotonic()
        self._killed: set[str] = set()  # fingerprints whose trial was killed once: it is repeated

    def known(self, files: ModelFiles, fingerprint: str) -> TrialResult | None:
        """The result for exactly these files, if they were tried; None also for what another release wrote."""
        for suffix in (TRIED, FAILED):
            with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
                values = json.loads(self._file(files, fingerprint, suffix).read_text())
                info = values["info"]
                return TrialResult(values["reason"], None if info is None else ModelInfo.from_json(info))
        return None

    def follow(self, wanted: Mapping[str, tuple[ModelFiles, str]]) -> list[str]:
        """One look, to be repeated: end trials that nobody wants any more, note results, begin what there is a place
        for. `wanted` are files and fingerprints by any name that tells them apart. Returns the names of trials that
        ended."""
        ended: dict[str, str] = {}
        self._nursery.hear()
        for name, running in list(self._running.items()):
            if name not in wanted or wanted[name][1] != running.fingerprint:
                self._end(running)
            if time.monotonic() - running.child.since > TRIAL_S + GRACE_S and running.child.code is None:
                running.is_overdue = True  # its hooks.py switched off the alarm
                running.child.kill()
                self._nursery.wait(running.child)
            if running.is_ended or running.child.code is not None:
                self._note(running)
                del self._running[name]
                ended[name] = running.fingerprint
            elif not running.is_slow and time.monotonic() - running.child.since > SLOW_S:
                running.is_slow = True
                _slow_down(running.child)
        for name, (files, fingerprint) in wanted.items():
            if name not in self._running and ended.get(name) != fingerprint and self._has_place():
                self._running[name] = self._begun(files, fingerprint)
        if self._running:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > IDLE_S:
            self._nursery.end()
        return list(ended)

    @property
    def pids(self) -> set[int]:
        """The child processes that have begun."""
        return {running.child.pid for running in self._running.values()} - {0}

    @property
    def busy(self) -> bool:
        """Whether a trial is under way that is worth waiting for."""
        return any(not running.is_slow for running in self._running.values())

    def end(self) -> None:
        """End all trials that are under way."""
        for running in self._running.values():
            self._end(running)
        self._nursery.end()

    def leave(self) -> None:
        """In a process that was forked from this one: close what only this one needs."""
        self._nursery.leave()

    def forget(self, name: str) -> None:
        """Delete the results for a model that is gone."""
        for suffix in (TRIED, FAILED):
            for file in self._folder.glob(f"{in_file_name(name)}@*{suffix}"):
                file.unlink(missing_ok=True)

    def _has_place(self) -> bool:
        quick = sum(not running.is_slow for running in self._running.values())
        return quick < self._places and len(self._running) < MOST_AT_A_TIME

    def _begun(self, files: ModelFiles, fingerprint: str) -> _Running:
        self._folder.mkdir(parents=True, exist_ok=True)
        report = self._folder / f"{digest(str(files.key))}.report"
        report.unlink(missing_ok=True)
        child = self._nursery.begin(to_json(files), fingerprint, str(report), str(len(self._running) + 1))
        return _Running(files, fingerprint, child, report)

    def _end(self, running: _Running) -> None:
        """It leaves no result."""
        running.child.kill()
        self._nursery.wait(running.child)
        running.is_ended = True

    def _note(self, running: _Running) -> None:
        """No result where the files moved meanwhile, nobody wants one, or the disk is full: the next look begins
        another trial."""
        found = _found(running)
        if found is None or self._is_killed_first(running):
            return
        is_usable = json.loads(found)["info"] is not None
        try:
            running.report.write_text(found)
            running.report.replace(self._file(running.files, running.fingerprint, TRIED if is_usable else FAILED))
        except OSError as error:
            log.warning("the trial of model %r cannot be written down: %s", running.files.name, error.strerror)

    def _is_killed_first(self, running: _Running) -> bool:
        """Whether it was killed, as anybody may have done, and that for the first time."""
        is_first = (running.child.code == -signal.SIGKILL and not running.is_overdue
                    and running.fingerprint not in self._killed)
        if is_first:
            self._killed.add(running.fingerprint)
        return is_first

    def _file(self, files: ModelFiles, fingerprint: str, suffix: str) -> Path:
        tried = f"{fingerprint} {version('onnxruntime')} {sys.version} {_code()}"
        return self._folder / f"{in_file_name(files.name)}@{files.version}-{digest(tried)}{suffix}"


@functools.cache
def _code() -> str:
    """A digest of this package's source: another release may find out something else of the same files."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    return digest("\n".join(path.read_text("utf-8") for path in sources))


def _slow_down(child: Child) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended in this moment, or not begun yet
        os.setpriority(os.PRIO_PGRP, child.pid or NOBODY, SLOW_NICENESS)


def _found(running: _Running) -> str | None:
    """The child's report as JSON, or one that tells how it died; None where nothing was found out."""
    status = running.child.code
    if status is None or status == MOVED or running.is_ended:
        return None
    if running.is_overdue:
        return refusal(ADVICE[signal.SIGALRM])
    if status == 0 and running.report.is_file():
        return running.report.read_text()
    if status >= 0:
        return refusal(f"its trial ended without a result (exit code {status}): does its hooks.py leave the process?")
    number = signal.Signals(-status)
    return refusal(ADVICE.get(number, f"loading it ends the process ({number.name}): the file is damaged or uses what "
                               "this onnxruntime cannot run, or its hooks.py does it; export it again"))
