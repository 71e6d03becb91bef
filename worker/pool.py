"""Warm workers: forked with the models already loaded, watched, replaced; what a dead one held is put back.

RQ's default worker forks for each job and would load the model each time. Its SimpleWorker keeps it warm, but sends
no heartbeat while it works and its death is noticed after minutes. So: SimpleWorkers as children of RQ's WorkerPool,
with a thread that renews the lease of the running job, and a parent that looks each second at what is held by whom.
"""

import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, WatchError
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.timeouts import UnixSignalDeathPenalty
from rq.worker_pool import WorkerPool

from jobs.queue import QUEUE, announce, make_queue, mark_ended
from worker.tasks import Deadline, Runtime, runtime

# A job's lease: renewed each RENEW_S by its worker, given up for lost after LEASE_S.
LEASE_S = 15
RENEW_S = 3
# A job between leaving the queue and being registered as running is in nobody's name for milliseconds. One that is
# seen there twice, this far apart, was left by a dead worker.
UNOWNED_S = 3
# A picture that kills its worker each time is not given to a sixth.
MAX_DEATHS = 5
DEATHS = "punnet_deaths"  # a field of RQ's job hash
STORE_SWEEP_S = 60
STORE_GRACE_S = 300
PR_SET_PDEATHSIG = 1
log = logging.getLogger(__name__)


class DeadlinePenalty(UnixSignalDeathPenalty):
    """RQ's alarm, raising what no `except Exception` on the way swallows."""

    def __init__(self, timeout: int, exception: type[BaseException] = Deadline, **_: object) -> None:
        super().__init__(timeout, Deadline)


class WarmWorker(SimpleWorker):
    """Runs jobs in its own process, with models that were loaded before it was forked."""

    death_penalty_class = DeadlinePenalty
    log_job_description = False
    log_result_lifespan = False
    max_connection_wait_time = 1.0  # seconds between attempts to reach a lost queue server; RQ's own grows to 60

    def _set_ip_address(self, connection: Redis) -> None:
        """RQ asks CLIENT INFO for it, which redis-py cannot read where the socket's path has a space."""
        connection.client_setname(self.name)
        self.ip_address = "unknown"

    def execute_job(self, job: Job, queue: Queue) -> None:
        ended = threading.Event()
        execution = self.prepare_execution(job)
        lease = threading.Thread(target=self._renew_lease, args=(job, execution, ended), daemon=True)
        lease.start()
        try:
            self.perform_job(job, queue, execution)
        finally:
            ended.set()
            lease.join()
        self.set_state("idle")
        self._forget_image(job)

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        super().prepare_job_execution(job, remove_from_intermediate_queue)
        announce(self.connection, job.id)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        return LEASE_S

    def cleanup_execution(self, job: Job, pipeline: Pipeline, execution: Execution | None = None) -> None:
        """Called inside the transaction that persists how a run went."""
        super().cleanup_execution(job, pipeline, execution)
        if job.get_status(refresh=False) == JobStatus.FINISHED or not job.should_retry:
            mark_ended(pipeline, job)

    def run_maintenance_tasks(self) -> None:
        """The pool does it: RQ's own would fail what it finds, the pool puts it back."""

    def request_force_stop(self, signum: int, frame: object) -> None:
        """A second TERM changes nothing: RQ's would fail the running job. The pool ends who takes too long."""

    def _renew_lease(self, job: Job, execution: Execution, ended: threading.Event) -> None:
        while not ended.wait(RENEW_S):
            try:
                self.maintain_heartbeats(job, execution)
            except RedisError as error:
                log.warning("lease of job %s not renewed: %s", job.id, error)

    def _forget_image(self, job: Job) -> None:
        if job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED):
            runtime.get().store.delete(job.id)


class WarmPool(WorkerPool):
    """Keeps the workers running and sees to it that nothing they held is lost.

    A pool's workers bear its name. Only one pool of a name runs at a time (its launcher holds a lock that its
    children share), so a worker of this name that is not its child is dead.
    """

    def __init__(self, name: str, make_client: Callable[[], Redis], runtime_of: Callable[[Redis], Runtime],
                 workers: int, stop_timeout_s: float) -> None:
        super().__init__([QUEUE], make_client(), num_workers=workers, worker_class=WarmWorker,
                         serializer=JSONSerializer)
        self.name = name
        self.rq_queue = make_queue(self.connection)
        self._make_client = make_client
        self._runtime_of = runtime_of
        self._store = runtime_of(self.connection).store
        self._stop_timeout_s = stop_timeout_s
        self._stop_at = float("inf")
        self._unowned_since: dict[str, float] = {}
        self._store_swept_at = 0.0
        self._reachable = True

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
        try:
            self._put_back_abandoned()
            self._sweep_store()
            super().check_workers(respawn)
            self._say_reachable(True)
        except RedisError as error:
            self._say_reachable(False, error)

    def all_workers_have_stopped(self) -> bool:
        """While stopping: after the patience, end the rest; once all are gone, put back what they held."""
        if time.monotonic() > self._stop_at:
            self._kill_workers()
        stopped = super().all_workers_have_stopped()
        if stopped:
            self._put_back_at_stop()
        return stopped

    def request_stop(self, signum: int | None = None, frame: object = None) -> None:
        self._stop_at = min(self._stop_at, time.monotonic() + self._stop_timeout_s)
        super().request_stop(signum, frame)

    def handle_dead_worker(self, worker_data: Any) -> None:
        super().handle_dead_worker(worker_data)
        if worker_data.process.exitcode:
            log.error("worker %d died with exit code %d", worker_data.pid, worker_data.process.exitcode)

    def _run_worker(self, name: str, pool_pid: int) -> None:
        """The child's life, from fork to exit."""
        _die_with_parent(pool_pid)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until work() sets its own: not the pool's
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        client = self._make_client()
        current = self._runtime_of(client)
        current.engine.load()  # what may not be loaded before a fork
        runtime.set(current)
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
            self._put_back_abandoned(blame=False)
        except RedisError as error:
            log.error("jobs of stopped workers stay with them until the next start: %s", error)

    def _put_back_abandoned(self, blame: bool = True) -> None:
        held = self._held()
        for entry, expires_at in held.items():
            job_id, execution_id = entry.split(":")
            if self._is_abandoned(job_id, execution_id, expires_at):
                put_back(self.rq_queue, job_id, execution_id, blame)
        self._put_back_unowned({entry.split(":")[0] for entry in held})

    def _held(self) -> dict[str, float]:
        """Running jobs as "job:execution" and when their lease ends."""
        entries: Any = self.connection.zrange(self.rq_queue.started_job_registry.key, 0, -1, withscores=True)
        return {entry.decode(): score for entry, score in entries}

    def _is_abandoned(self, job_id: str, execution_id: str, expires_at: float) -> bool:
        key = Execution(execution_id, job_id, self.connection).key
        owner = (self.connection.hget(key, "worker_name") or b"").decode()  # type: ignore[union-attr]
        own, _, child = owner.rpartition(".")
        return expires_at < time.time() or (own == self.name and child not in self.worker_dict)

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
        for job_id in self._store.ids_older_than(STORE_GRACE_S):
            status = self.connection.hget(Job.key_for(job_id), "status")
            if status in (None, b"finished", b"failed", b"canceled"):
                self._store.delete(job_id)

    def _say_reachable(self, reachable: bool, error: Exception | None = None) -> None:
        if reachable != self._reachable:
            self._reachable = reachable
            log.warning("queue server is back" if reachable else f"queue server does not answer: {error}")


def put_back(queue: Queue, job_id: str, execution_id: str | None, blame: bool) -> None:
    """Return a job that nobody runs any more to the head of the queue, once, whoever else tries.

    Args:
        queue: the queue it came from.
        job_id: the job.
        execution_id: the dead worker's hold on it; None where it had none yet.
        blame: count the death against the job; after `MAX_DEATHS` it fails.
    """
    client = queue.connection
    with client.pipeline() as pipeline:
        while True:
            try:
                if _still_held(pipeline, queue, job_id, execution_id):
                    _move(pipeline, queue, job_id, execution_id, blame)
                return
            except WatchError:
                continue  # its worker was alive after all, or another pool is at it: look again


def _still_held(pipeline: Pipeline, queue: Queue, job_id: str, execution_id: str | None) -> bool:
    """Watches where the hold is recorded, and whether it still is."""
    registry, intermediate = queue.started_job_registry.key, queue.intermediate_queue_key
    if execution_id is None:
        pipeline.watch(intermediate)
        return pipeline.lpos(intermediate, job_id) is not None
    pipeline.watch(registry)
    return pipeline.zscore(registry, f"{job_id}:{execution_id}") is not None


def _move(pipeline: Pipeline, queue: Queue, job_id: str, execution_id: str | None, blame: bool) -> None:
    key = Job.key_for(job_id)
    exists = bool(pipeline.exists(key))
    deaths = int(pipeline.hget(key, DEATHS) or 0) + blame
    job = Job.fetch(job_id, queue.connection, JSONSerializer) if exists else None
    pipeline.multi()
    pipeline.lrem(queue.intermediate_queue_key, 0, job_id)
    if execution_id is not None:
        execution = Execution(execution_id, job_id, queue.connection)
        pipeline.zrem(queue.started_job_registry.key, execution.composite_key)
        pipeline.delete(execution.key)
    if job is not None:
        _requeue_or_fail(pipeline, queue, job, deaths)
    pipeline.execute()


def _requeue_or_fail(pipeline: Pipeline, queue: Queue, job: Job, deaths: int) -> None:
    pipeline.hset(job.key, DEATHS, deaths)
    if deaths >= MAX_DEATHS:
        log.error("job %s ended %d workers: it fails", job.id, deaths)
        job.ended_at = datetime.now(UTC)
        job.set_status(JobStatus.FAILED, pipeline=pipeline)
        job.save(pipeline=pipeline)
        job._handle_failure(f"{deaths} workers died while they ran it", pipeline)
        mark_ended(pipeline, job)
        return
    log.warning("job %s is put back in the queue", job.id)
    job.set_status(JobStatus.QUEUED, pipeline=pipeline)
    queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
    announce(pipeline, job.id)


def _die_with_parent(parent_pid: int) -> None:
    """The kernel kills this process when the pool dies, so that none is left to run jobs twice."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the call
        os._exit(1)


