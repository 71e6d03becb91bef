"""How much memory a predictor may take beside the models that it holds: an image that needs more fails alone."""

import resource
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/memory.max")
SHARE = 4  # of the machine's memory: what a model may need to run


def limit_memory(decoded_bytes: int) -> None:
    """From now on this process cannot have more: what it asks for is refused, as if the machine had none left. What
    it shares with others since it was forked counts as its own, so the limit begins above that."""
    allowed = decoded_bytes + _machine_bytes() // SHARE
    wanted = _status("VmData") + allowed
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or wanted < most:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


def _machine_bytes() -> int:
    """Of the machine, or of the cgroup where that is less."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    found = int(lines["MemTotal"].split()[0]) * 1024
    limit = CGROUP.read_text().strip() if CGROUP.is_file() else "max"
    return found if limit == "max" else min(found, int(limit))


def _status(name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024
