"""Kills processes with -9 at random, and watches how soon the jobs that they interrupted go on."""

import random
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.integration.server import Server, kill

EVERY_S = (1.0, 5.0)
SPARED = ("other",)  # trials, and what starts just now
SUPERVISOR = "supervisord"
SUPERVISOR_SHARE = 0.05  # of the kills: it takes seconds to start all again
# Whose executions end with a process of a role: those of web processes (promoted jobs), of workers, or all. The death
# of a process that computes, and that of the queue server, ends none: whoever executes asks again.
OF_WEB, OF_WORKERS, OF_ALL = ("web process", "gunicorn"), ("worker", "worker pool"), ("supervisord",)
GOES_ON = re.compile(r"predictor (?:job|long|device)\S* goes on with request \S+ after (\d+) ms")
ENDED = (b"finished", b"failed", b"canceled")
LOOK_S = 0.02


@dataclass
class Interruption:
    """An execution that was under way when something of it was killed. It is over when the job runs again, as another
    execution, or has ended."""

    job_id: str
    execution: bytes
    role: str
    at: float
    took_s: float | None = None


@dataclass
class Killer:
    """`spared` are further roles that live."""

    server: Server
    seed: int
    spared: Collection[str] = ()
    killed: Counter[str] = field(default_factory=Counter)
    interruptions: list[Interruption] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        drawn = random.Random(self.seed)
        while not self.stop.is_set():
            self._kill_one(drawn)
            self.stop.wait(drawn.uniform(*EVERY_S))

    def watch(self) -> None:
        """Until nothing is interrupted any more after the stop; at most a minute longer."""
        until = float("inf")
        while not self.stop.is_set() or (self._open() and time.monotonic() < until):
            if self.stop.is_set():
                until = min(until, time.monotonic() + 60)
            for interruption in self._open():
                self._look(interruption)
            time.sleep(LOOK_S)

    @property
    def recoveries_s(self) -> dict[str, list[float]]:
        """By what was killed: until a job runs again, or until another predictor computes for it."""
        found: dict[str, list[float]] = defaultdict(list)
        for one in self.interruptions:
            found[one.role].append(one.took_s if one.took_s is not None else float("inf"))
        logs = self.server.log("worker.log") + self.server.log("error.log")
        found["what computes"] = [int(ms) / 1000 for ms in GOES_ON.findall(logs)]
        return found

    def _open(self) -> list[Interruption]:
        return [one for one in self.interruptions if one.took_s is None]

    def _kill_one(self, drawn: random.Random) -> None:
        living = sorted((role, pids) for role, pids in self.server.pids().items()
                        if role not in (*SPARED, *self.spared) and role != SUPERVISOR)
        if not living:  # all were killed faster than they come back
            return
        role, pids = drawn.choice(living)
        if SUPERVISOR not in self.spared and drawn.random() < SUPERVISOR_SHARE:
            role, pids = SUPERVISOR, self.server.pids().get(SUPERVISOR, [])
        if pids:
            self._kill(role, drawn.choice(pids))

    def _kill(self, role: str, pid: int) -> None:
        interrupted, at = self._executions(role, pid), time.monotonic()
        try:
            kill(pid)
        except ProcessLookupError:
            return  # it ended just now, with its parent
        self.killed[role] += 1
        self.interruptions += [Interruption(job_id, execution, role, at) for job_id, execution in interrupted]
        if role == SUPERVISOR:
            self.server.start()

    def _executions(self, role: str, pid: int) -> list[tuple[str, bytes]]:
        """Which jobs, and executions of them, die with the process."""
        try:
            client = self._client()
            entries: Any = client.zrange("rq:wip:punnet", 0, -1)
            return [(entry.decode().partition(":")[0], entry) for entry in entries
                    if self._dies(client, entry, role, pid)]
        except RedisError:
            return []

    def _dies(self, client: Redis, entry: bytes, role: str, pid: int) -> bool:
        owner: Any = client.hget(b"rq:execution:" + entry, "worker_name") or b""
        if role == "worker":
            return client.hget(b"rq:worker:" + owner, "pid") == str(pid).encode()
        return role in OF_ALL or role in (OF_WEB if owner.startswith(b"web.") else OF_WORKERS)

    def _look(self, interruption: Interruption) -> None:
        try:
            client: Any = self._client()
            entries = client.zrange("rq:wip:punnet", 0, -1)
            status = client.hget(f"rq:job:{interruption.job_id}", "status")
        except RedisError:
            return
        again = [entry for entry in entries if entry.startswith(interruption.job_id.encode())
                 and entry != interruption.execution]
        if again or status in ENDED:
            interruption.took_s = time.monotonic() - interruption.at

    def _client(self) -> Redis:
        return Redis(unix_socket_path=str(self.server.state_dir / "valkey.sock"), socket_timeout=1)
