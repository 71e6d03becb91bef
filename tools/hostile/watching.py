"""What the service itself shows meanwhile: its processes, memory and logs, and how quick requests fare."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import Address, Connection
from bench.servers import Service
from ops import processes

PAUSE_S = 0.1  # between two quick requests


@dataclass
class QuickRequests:
    """Sent one after the other beside all else."""

    latencies_ms: list[float] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    @contextmanager
    def sent_to(self, address: Address, request: bytes) -> Iterator["QuickRequests"]:
        ended = threading.Event()
        thread = threading.Thread(target=self._send, args=(address, request, ended))
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()

    def _send(self, address: Address, request: bytes, ended: threading.Event) -> None:
        connection = Connection(address)
        while not ended.wait(PAUSE_S):
            answer = connection.ask(request, time.perf_counter())
            self.latencies_ms.append(answer.latency_ms)
            self.statuses.add(answer.status)
        connection.close()


@dataclass(frozen=True)
class Condition:
    """Of the service at one moment. `pids` are those of its processes."""

    pids: frozenset[int]
    pss_mb: float
    log_mb: float


def condition(service: Service) -> Condition:
    logs = service.mark.parent / "log"
    return Condition(frozenset(processes.marked(service.mark)), service.pss_mb(), _size_mb(logs))


def _size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
