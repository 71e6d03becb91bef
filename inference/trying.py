"""The trial of one model, in a process of its own that `nursery.py` forks."""

import ctypes
import io
import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference.repository import Fingerprints, ModelFiles

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
LEAST_BYTES = 1 << 28  # the child itself needs some
MOVED = 75  # sysexits.h's EX_TEMPFAIL
TRIAL_S = 120  # a model of 1 GB takes about 5
NICENESS = 5  # of a trial; it comes to an end also where requests take all cores
LONGEST_REASON = 1000  # characters
MOST_PRINTED = 1 << 16  # bytes that one trial adds to the log


def main(files: str, fingerprint: str, report: str, share: str) -> int:
    """Try a model, `files` being a `ModelFiles` as JSON, with one of `share` parts of the free memory, and write a
    report. Returns the exit code."""
    _limit(int(share))
    _print_little()
    tried = _from_json(files)
    try:
        found = _tried(tried, fingerprint)
        if Fingerprints().of(tried) != fingerprint:
            return MOVED
        Path(report).write_text(found)
    except OSError:  # the files were moved, or a full disk: it says nothing about the model
        return MOVED
    return 0


def die_with(parent_pid: int) -> None:
    """End this process when its parent ends, or now where it has ended already."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(MOVED)


def _tried(files: ModelFiles, fingerprint: str) -> str:
    from inference.loading import reason_of, try_out  # the parent, which imports this file, loads no model

    try:
        return json.dumps({"reason": "", "info": try_out(files, fingerprint).info.to_json()})
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever the files bring is what the trial is for
        return refusal(files.placed(reason_of(error)))


def _limit(share: int) -> None:
    """The child ends by itself: SIGALRM's default ends it in native code too; its memory is a share of what is free."""
    signal.alarm(TRIAL_S)
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    resource.setrlimit(resource.RLIMIT_DATA, (max(_free_bytes() // share, LEAST_BYTES), resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Path("/proc/self/oom_score_adj").write_text("1000")  # if the memory ends all the same, it is this one's fault


class _Bounded(io.RawIOBase):
    """Takes any number of bytes, and passes the first ones on to a file."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor, self._left = descriptor, MOST_PRINTED

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        given = bytes(data)
        self._left -= os.write(self._descriptor, given[:self._left])
        return len(given)


def _print_little() -> None:
    """What hooks.py prints goes to the log, up to a limit; what native code prints, which a reason tells better, goes
    nowhere."""
    log_file = _Bounded(os.dup(2))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout = sys.stderr = io.TextIOWrapper(io.BufferedWriter(log_file), "utf-8", "replace", write_through=True)


def _free_bytes() -> int:
    """Of the machine, or of the cgroup where that is less."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and limit.read_text().strip() != "max":
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return free


def refusal(reason: str) -> str:
    """A report. The reason is one line; of a long one the beginning and the end, where mostly what to do stands."""
    line = " ".join(reason.split())
    short = line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON // 2]} … {line[-LONGEST_REASON // 2:]}"
    return json.dumps({"reason": short, "info": None})


def to_json(files: ModelFiles) -> str:
    return json.dumps(asdict(files) | {"folder": str(files.folder), "onnx": str(files.onnx or "")})


def _from_json(text: str) -> ModelFiles:
    values = json.loads(text)
    return ModelFiles(**values | {"folder": Path(values["folder"]), "onnx": Path(values["onnx"])})
