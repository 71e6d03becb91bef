"""Warm workers, forked with the models already loaded, watched, replaced; what a dead one held is put back.

A SimpleWorker's death is noticed by RQ after minutes. Here the parent looks each second at what is held by whom.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerPool

from jobs.handback import end, put_back
from jobs.outcome import DEADLINE, Outcome
from jobs.queue import LEASE_S, QUEUE, make_queue
from worker.lane import LanePool
from worker.runtime import Runtime, begin
from worker.warm import WarmWorker

# A job between leaving the queue and being registered as running is in nobody's name for milliseconds. One that is
# seen there for so long was left by a dead worker.
UNOWNED_S = 3
# After a longer pause between two checks (a suspended machine), leases prove nothing until they could be renewed.
GAP_S = 5
# A native call does not hear RQ's alarm; so much later its worker is ended.
TIMEOUT_MARGIN_S = 5
STORE_SWEEP_S = 60
STORE_GRACE_S = 300
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hold:
    """A worker's hold on a job: until when its lease lasts and since when it runs, seconds since the epoch."""

    job_id: str
    execution_id: str
    expires_at: float
    worker: str
    since: float


class WarmPool(WorkerPool):
    """Keeps the workers running and sees to it that nothing they held is lost.

    A pool's workers bear its name. Only one pool of a name runs at a time (its launcher holds a lock that its
    children share), so a worker of this name that is not its child is dead.
    """

    def __init__(self, name: str, make_client: Callable[[], Redis], runtime_of: Callable[[Redis], Runtime],
                 workers: int, lane: LanePool, job_timeout_s: float, stop_timeout_s: float) -> None:
        super().__init__([QUEUE], make_client(), num_workers=workers, worker_class=WarmWorker,
                         serializer=JSONSerializer)
        self.name = name
        self.rq_queue = make_queue(self.connection)
        self._make_client = make_client
        self._runtime_of = runtime_of
        self._lane = lane
        own = runtime_of(self.connection)
        self._store, self._ended, self._engine = own.store, own.ended, own.engine
        self._job_timeout_s = job_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._stop_at = float("inf")
        self._unowned_since: dict[str, float] = {}
        self._store_swept_at = 0.0
        self._reachable = True
        self._checked_at = self._sound_since = time.monotonic()

    def start_worker(self, count: int | None = None, burst: bool = False, _sleep: float = 0,
                     logging_level: str = "INFO") -> None:
        super().start_worker(count, burst, _sleep, logging_level)

    def start_workers(self, burst: bool = False, _sleep: float = 0, logging_level: str = "INFO") -> None:
        """Nothing yet: the first check puts back what a killed pool left, then forks."""

    def get_worker_process(self, name: str, burst: bool, _sleep: float = 0,
                           logging_level: str = "INFO") -> BaseProcess:
        return get_context("fork").Process(target=self._run_worker, args=(f"{self.name}.{name}", os.getpid()))

    def check_workers(self, respawn: bool = True) -> None:
        """Each second: reap, put back what nobody holds, fork what is missing. Without a queue server, wait."""
        self.reap_workers()
        self._follow_models()
        if respawn:
            self._lane.keep_running()
        try:
            self._settle_holds()
            self._sweep_store()
            super().check_workers(respawn)
            self._say_reachable(True)
        except RedisError as error:
            self._say_reachable(False, error)

    def _follow_models(self) -> None:
        """So that successors are forked with what is served now. Trying files may take long: the others do it."""
        try:
            self._engine.follow(may_try=False, before_fork=True)
            self._engine.log_news()
        except Exception:  # a full disk, say: the models that are served go on being served
            log.exception("the models folder could not be followed")

    def all_workers_have_stopped(self) -> bool:
        """While stopping: after the patience, end the rest; once all are gone, put back what they held."""
        self.stop_workers()  # again: one that was just being forked did not hear the first
        self._lane.stop()
        if time.monotonic() > self._stop_at:
            self._lane.kill()
            self._kill_workers()
        stopped = super().all_workers_have_stopped()
        if stopped:
            self._put_back_at_stop()
        return stopped and self._lane.has_ended()

    def request_stop(self, signum: int | None = None, frame: object = None) -> None:
        self._stop_at = min(self._stop_at, time.monotonic() + self._stop_timeout_s)
        self._lane.stop()
        super().request_stop(signum, frame)

    def handle_dead_worker(self, worker_data: Any) -> None:
        super().handle_dead_worker(worker_data)
        if worker_data.process.exitcode and self.status != self.Status.STOPPED:
            log.error("worker %d died with exit code %d", worker_data.pid, worker_data.process.exitcode)

    def _run_worker(self, name: str, pool_pid: int) -> None:
        """The child's life, from fork to exit."""
        self._lane.leave()
        client = self._make_client()
        begin(self._runtime_of(client), pool_pid, "punnet-job")
        WarmWorker([make_queue(client)], name=name, connection=client, serializer=JSONSerializer).work(
            logging_level=None)

    def _kill_workers(self) -> None:
        for data in self.worker_dict.values():
            log.warning("worker %d still runs a job after %g s: it is put back in the queue", data.pid,
                        self._stop_timeout_s)
            os.kill(data.pid, signal.SIGKILL)
        self._stop_at = float("inf")

    def _put_back_at_stop(self) -> None:
        try:
            self._settle_holds(blame=False)
        except RedisError as error:
            log.error("jobs of stopped workers stay with them until the next start: %s", error)

    def _settle_holds(self, blame: bool = True) -> None:
        """Put back what nobody runs any more, end what runs too long."""
        holds = self._holds()
        self._note_gaps()
        for hold in holds:
            if self._is_abandoned(hold):
                put_back(self.rq_queue, hold.job_id, hold.execution_id, blame)
            elif time.time() - hold.since > self._job_timeout_s + TIMEOUT_MARGIN_S:
                self._end_overdue(hold)
        self._put_back_unowned({hold.job_id for hold in holds})

    def _holds(self) -> list[Hold]:
        entries: Any = self.connection.zrange(self.rq_queue.started_job_registry.key, 0, -1, withscores=True)
        return [self._hold(entry.decode(), expires_at) for entry, expires_at in entries]

    def _hold(self, entry: str, expires_at: float) -> Hold:
        job_id, execution_id = entry.split(":")
        key = Execution(execution_id, job_id, self.connection).key
        worker, since = cast(list[bytes | None], self.connection.hmget(key, "worker_name", "created_at"))
        return Hold(job_id, execution_id, expires_at, (worker or b"").decode(), float(since or time.time()))

    def _note_gaps(self) -> None:
        """A lease that could not be renewed, or not be looked at, is no sign of a death."""
        now = time.monotonic()
        if not self._reachable or now - self._checked_at > GAP_S:
            self._sound_since = now
        self._checked_at = now

    def _is_abandoned(self, hold: Hold) -> bool:
        own, _, child = hold.worker.rpartition(".")
        if own == self.name and child not in self.worker_dict:
            return True
        return hold.expires_at < time.time() and time.monotonic() - self._sound_since > LEASE_S

    def _end_overdue(self, hold: Hold) -> None:
        own, _, child = hold.worker.rpartition(".")
        if own != self.name:
            return  # another pool's to end
        log.error("job %s runs longer than PUNNET_JOB_TIMEOUT_S: its worker is ended", hold.job_id)
        os.kill(self.worker_dict[child].pid, signal.SIGKILL)
        end(self.rq_queue, hold.job_id, hold.execution_id,
            Outcome(kind=DEADLINE, detail="the job ran longer than PUNNET_JOB_TIMEOUT_S allows"))

    def _put_back_unowned(self, held: set[str]) -> None:
        now = time.monotonic()
        unowned = set(self.rq_queue.intermediate_queue.get_job_ids()) - held
        self._unowned_since = {job_id: self._unowned_since.get(job_id, now) for job_id in unowned}
        for job_id, since in self._unowned_since.items():
            if now - since >= UNOWNED_S:
                put_back(self.rq_queue, job_id, None, blame=False)

    def _sweep_store(self) -> None:
        """Delete images whose job has ended, or was never accepted, where a crash came between."""
        if time.monotonic() - self._store_swept_at < STORE_SWEEP_S:
            return
        self._store_swept_at = time.monotonic()
        for registry in (self.rq_queue.finished_job_registry, self.rq_queue.failed_job_registry):
            registry.cleanup()
        self._ended.prune()
        for job_id in self._store.ids_older_than(STORE_GRACE_S):
            status = self.connection.hget(Job.key_for(job_id), "status")
            if status in (None, b"finished", b"failed", b"canceled"):
                self._store.delete(job_id)

    def _say_reachable(self, reachable: bool, error: Exception | None = None) -> None:
        if reachable != self._reachable:
            self._reachable = reachable
            log.warning("queue server is back" if reachable else f"queue server does not answer: {error}")
