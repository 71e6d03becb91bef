"""One warm worker: runs jobs in its own process, with models that were loaded before it was forked.

RQ's default worker forks for each job and would load the model each time. Its SimpleWorker keeps it warm, but sends
no heartbeat while it works; here a thread renews the lease of the running job.
"""

import logging
import threading
import time

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.timeouts import UnixSignalDeathPenalty

from jobs.ending import announce, mark_ended, note_pace
from jobs.queue import LEASE_S, RENEW_S
from worker.tasks import Deadline, runtime

ENDED = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELED)
log = logging.getLogger(__name__)


class DeadlinePenalty(UnixSignalDeathPenalty):
    """RQ's alarm, raising what no `except Exception` on the way swallows."""

    def __init__(self, timeout: int, exception: type[BaseException] = Deadline, **_: object) -> None:
        super().__init__(timeout, Deadline)


class WarmWorker(SimpleWorker):
    """RQ's SimpleWorker with a lease, and without what would fail a job that can be run again."""

    death_penalty_class = DeadlinePenalty
    log_job_description = False
    log_result_lifespan = False
    max_connection_wait_time = 1.0  # seconds between attempts to reach a lost queue server; RQ's own grows to 60

    def execute_job(self, job: Job, queue: Queue) -> None:
        if job.get_status(refresh=False) in ENDED:  # put back by mistake, and its first run ended it
            queue.intermediate_queue.remove(job.id)
            return
        execution = self.prepare_execution(job)
        self._perform_with_lease(job, queue, execution)
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
        if job.get_status(refresh=False) == JobStatus.FINISHED and execution is not None:
            took_s = time.time() - execution.created_at.timestamp()
            note_pace(self.connection, job.meta["predicted_ms"], took_s * 1000)
        if job.get_status(refresh=False) == JobStatus.FINISHED or not job.should_retry:
            mark_ended(pipeline, job)

    def run_maintenance_tasks(self) -> None:
        """The pool does it: RQ's own would fail what it finds, the pool puts it back."""

    def request_force_stop(self, signum: int, frame: object) -> None:
        """A second signal changes nothing: RQ's would fail the running job. The pool ends who takes too long."""

    def set_shutdown_requested_date(self) -> None:
        """RQ writes it from the signal's handler: an error there would rise in the middle of the running job."""

    def _set_ip_address(self, connection: Redis) -> None:
        """RQ asks CLIENT INFO for it, which redis-py cannot read where the socket's path has a space."""
        connection.client_setname(self.name)
        self.ip_address = "unknown"

    def _perform_with_lease(self, job: Job, queue: Queue, execution: Execution) -> None:
        ended = threading.Event()
        lease = threading.Thread(target=self._renew_lease, args=(job, execution, ended), daemon=True)
        lease.start()
        try:
            self.perform_job(job, queue, execution)
        finally:
            ended.set()
            lease.join()

    def _renew_lease(self, job: Job, execution: Execution, ended: threading.Event) -> None:
        while not ended.wait(RENEW_S):
            try:
                self.maintain_heartbeats(job, execution)
            except RedisError as error:
                log.warning("lease of job %s not renewed: %s", job.id, error)

    def _forget_image(self, job: Job) -> None:
        if job.get_status() in ENDED:
            runtime.get().store.delete(job.id)
