"""Recovery: what becomes of a job whose worker has died. It goes back to the head of the queue, or it ends."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.client import Pipeline
from rq import Queue
from rq.job import Job, JobStatus

from jobs.events import announce
from jobs.execution import HEARTBEAT_TTL_S, write_end
from jobs.job import WORKER_LOST, Outcome
from jobs.machines import Machines
from jobs.standing import DEATHS, Move, Say, Standing, change
from jobs.totals import count_requeue

# A job that each time costs its worker is not given to a sixth.
MAX_DEATHS = 5
# A job is in nobody's name for milliseconds, between leaving the queue and being registered. One that is seen there
# for so many seconds was left by a dead worker.
UNOWNED_S = 3
# After a longer pause between two looks (a suspended machine), heartbeats prove nothing until they could come again.
GAP_S = 5
# So many machines look at the workers of all others; who is among them is decided anew after so many seconds.
WATCHERS, DECIDED_S = 3, 5
log = logging.getLogger(__name__)


def requeue(queue: Queue, job_id: str, execution_id: str | None, blame: bool, why: str = "its worker died") -> None:
    """Return a job that nobody executes any more to the head of the queue.

    Args:
        queue: the queue it came from.
        job_id: the job.
        execution_id: the dead worker's execution of it; None where it had registered none.
        blame: count the death against the job; after `MAX_DEATHS` it fails.
        why: for the log.
    """
    def decide(standing: Standing) -> Move | None:
        if execution_id is None:
            return move if standing.taken and not standing.executions else None
        return move if execution_id in standing.executions or not standing.exists else None

    def move(pipeline: Pipeline, standing: Standing) -> Say | None:
        return _give_up(pipeline, queue, standing, execution_id, blame, why)

    change(queue, job_id, decide)


def _give_up(pipeline: Pipeline, queue: Queue, standing: Standing, execution_id: str | None, blame: bool,
             why: str) -> Say | None:
    job, deaths = standing.job, standing.deaths + blame
    standing.forget(pipeline, *filter(None, [execution_id]))
    if not standing.can_run or set(standing.executions) - {execution_id}:
        return None  # its record is gone, it has ended, or somebody else executes it
    pipeline.hset(job.key, DEATHS, str(deaths))
    if deaths >= MAX_DEATHS:
        return write_end(pipeline, standing, Outcome(kind=WORKER_LOST, detail=(
            f"{deaths} workers died or failed while they ran the job; the worker's log tells why")))
    job.set_status(JobStatus.QUEUED, pipeline=pipeline)
    queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
    count_requeue(pipeline, queue.name)
    announce(pipeline, job.id, queue.name)
    return partial(log.warning, "job %s is requeued: %s", job.id, why)


@dataclass(frozen=True)
class Started:
    """An entry of RQ's registry of running jobs: who executes the job, and its last heartbeat, which bears the time of
    the machine that sent it."""

    job_id: str
    execution_id: str
    heartbeat: float
    worker: str


class Recovery:
    """A pool's look at who executes what.

    Only one pool of a name runs at a time, and its workers bear its name. So a worker of the name that is not the
    pool's child is dead. Others, on other machines or in web processes, are judged by whether new heartbeats come, as
    no two clocks agree and each of them may be set anew. So many look at them that some always do, and not all do. Of
    a web process of this machine `has_died` tells at once.
    """

    def __init__(self, queue: Queue, pool_name: str, has_died: Callable[[str], bool] = lambda name: False) -> None:
        self._queue, self._pool_name, self._has_died = queue, pool_name, has_died
        self._machines, self._is_watcher, self._decided_at = Machines(queue), True, float("-inf")
        self._has_dead_workers = True  # the pool that was killed before this one may have left some
        self._workers: dict[str, str] = {}  # by execution
        self._unowned_since: dict[str, float] = {}
        self._heard: dict[str, tuple[float, float]] = {}  # execution -> its last heartbeat, since when it is the last
        self._looked_at = time.monotonic()

    def look(self, children: Collection[str], blame: bool = True) -> None:
        """Requeue what nobody executes any more; `children` are the names of the pool's living workers.

        Raises:
            RedisError.
        """
        self._note_gap()
        if self._has_dead_workers or self._watches():
            self._look_at_executions(children, blame)
            self._has_dead_workers = False
        else:
            self._heard.clear()
        self._requeue_unowned(blame)
        self._looked_at = time.monotonic()

    def note_dead_worker(self) -> None:
        """One of the pool's workers died: the next look finds what it ran."""
        self._has_dead_workers = True

    def _watches(self) -> bool:
        """Whether this machine is among the first, which look at the workers of all."""
        if time.monotonic() - self._decided_at >= DECIDED_S:
            names = sorted(machine.name for machine in self._machines.living())
            self._is_watcher = len(names) < WATCHERS or self._pool_name in names[:WATCHERS]
            self._decided_at = time.monotonic()
        return self._is_watcher

    def _look_at_executions(self, children: Collection[str], blame: bool) -> None:
        started = self._started()
        self._hear(started)
        for entry in started:
            if why := self._abandoned(entry, children, blame):
                requeue(self._queue, entry.job_id, entry.execution_id, blame, why)

    def _note_gap(self) -> None:
        """A heartbeat that could not be sent, or not be looked at, is no sign of a death."""
        now = time.monotonic()
        if now - self._looked_at > GAP_S:
            self._heard.clear()
        self._looked_at = float("-inf")  # stays so where this look fails

    def _hear(self, started: Collection[Started]) -> None:
        now = time.monotonic()
        last = {entry.execution_id: (entry.heartbeat, now) for entry in started}
        self._heard = {execution_id: known if (known := self._heard.get(execution_id, news))[0] == news[0] else news
                       for execution_id, news in last.items()}

    def _abandoned(self, entry: Started, children: Collection[str], blame: bool) -> str:
        """Why nobody executes the job any more; "" where somebody does."""
        pool, _, child = entry.worker.rpartition(".")
        if pool == self._pool_name:
            return "" if child in children else f"its worker {entry.worker} {'died' if blame else 'was stopped'}"
        if self._has_died(entry.worker):
            return f"the web process {entry.worker} died"
        silent = time.monotonic() - self._heard[entry.execution_id][1] > HEARTBEAT_TTL_S
        return f"nothing was heard of {entry.worker} for {HEARTBEAT_TTL_S} s" if silent else ""

    def _started(self) -> list[Started]:
        entries: Any = self._queue.connection.zrange(self._queue.started_job_registry.key, 0, -1, withscores=True)
        started = [self._entry(entry.decode(), heartbeat) for entry, heartbeat in entries]
        self._workers = {entry.execution_id: entry.worker for entry in started}
        return started

    def _entry(self, entry: str, heartbeat: float) -> Started:
        job_id, execution_id = entry.split(":")
        worker = self._workers.get(execution_id) or self._worker_of(job_id)
        return Started(job_id, execution_id, heartbeat, worker)

    def _worker_of(self, job_id: str) -> str:
        """The job's: what RQ keeps of an execution is gone once no heartbeat came for a while."""
        worker: Any = self._queue.connection.hget(Job.key_for(job_id), "worker_name")
        return (worker or b"").decode()

    def _requeue_unowned(self, blame: bool) -> None:
        now = time.monotonic()
        unowned = self._queue.intermediate_queue.get_job_ids()
        self._unowned_since = {job_id: self._unowned_since.get(job_id, now) for job_id in unowned}
        for job_id, since in self._unowned_since.items():
            if now - since >= UNOWNED_S:
                requeue(self._queue, job_id, None, blame, "its worker died before it began")
