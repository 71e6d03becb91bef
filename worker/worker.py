"""One worker: takes a job, has it run, and writes down its end.

RQ's own worker forks a process for each job; its SimpleWorker does not, but sends no heartbeat while a job runs and
cannot stop it. Here a thread sends them (heartbeats.py), and RQ's stop commands call the run off.
"""

import logging
import signal
import time
from collections.abc import Callable
from typing import TypeVar

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from jobs import computation
from jobs.deferral import awaited, take
from jobs.execution import HEARTBEAT_S, HEARTBEAT_TTL_S, begin, end, end_joined, register
from jobs.job import Outcome
from jobs.joining import is_wanted, share
from jobs.leaving import leave
from jobs.recovery import requeue
from jobs.trouble import is_full, will_pass
from metrics.predictions import count_prediction
from worker.heartbeats import Heartbeats
from worker.tasks import NotHere, OffSwitch, Task, Tasks

T = TypeVar("T")
IDLE_S = 2  # who waits for a job looks so often for what other machines left
SUSPENDED_S = 1.0  # between two looks whether `rq suspend` was called; RQ looks before each job
BEAT_S = 30.0  # between heartbeats of a worker, by which RQ's tools know it; those of its job are others
RETRY_S = 0.5  # between two tries to reach the queue server
log = logging.getLogger(__name__)


class Worker(SimpleWorker):
    """RQ's SimpleWorker with heartbeats, with calling off, and without what would fail a job that can run again."""

    max_connection_wait_time = 1.0  # seconds between tries to reach a lost queue server; RQ's own pause grows to 60

    def __init__(self, queue: Queue, name: str, tasks: Tasks, has_awaited: Callable[[], bool] = lambda: False) -> None:
        """`has_awaited` tells whether other machines left jobs which this one can run."""
        super().__init__([queue], name=name, connection=queue.connection, serializer=JSONSerializer,
                         log_job_description=False)
        self._queue, self._tasks, self._has_awaited = queue, tasks, has_awaited
        self._beaten_at = self._asked_at = float("-inf")
        self._switches: dict[str, OffSwitch] = {}  # by execution
        self._heartbeats = Heartbeats(self._send_heartbeat, HEARTBEAT_S)

    def execute_job(self, job: Job, queue: Queue) -> None:
        if not _patiently(lambda: self._tasks.may_run(job.meta["model_type"], job.meta["fingerprint"])):
            _patiently(lambda: leave(self._queue, job.id))
            return
        switch, began = OffSwitch(), time.monotonic()
        execution = _patiently(lambda: self._begin(job.id, switch, computation.of(job)), is_full)
        if execution is None:
            return
        try:
            with self._heartbeats.of((execution, switch)):
                self._run(execution, switch, began)
        finally:
            self._forget_executions()

    def dequeue_job_and_maintain_ttl(self, timeout: int | None,
                                     max_idle_time: int | None = None) -> tuple[Job, Queue] | None:
        """What other machines left to this one comes first; who idles looks for it again and again. RQ's own says that
        the worker idles, and waits, also for a queue server that is away; one whose disk is full is waited for here."""
        idle_s = None if timeout is None else IDLE_S
        while True:
            found = _patiently(self._left_by_others) or _patiently(self._at_hand) or _patiently(
                lambda: super(Worker, self).dequeue_job_and_maintain_ttl(idle_s, idle_s), is_full)
            if found is not None or timeout is None:
                return found

    def check_for_suspension(self, burst: bool) -> None:
        if time.monotonic() - self._asked_at >= SUSPENDED_S:
            super().check_for_suspension(burst)
            self._asked_at = time.monotonic()

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """RQ sends three of a worker with each job, which one now and then is as good as. A heartbeat that a full disk
        keeps out is no reason to end."""
        if timeout is None and pipeline is None:
            if time.monotonic() - self._beaten_at < BEAT_S:
                return
            self._beaten_at = time.monotonic()
        try:
            super().heartbeat(timeout, pipeline)
        except RedisError as error:
            if not is_full(error):
                raise

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Call off what runs. RQ's thread calls this when anybody sends its command to stop the job."""
        for switch in tuple(self._switches.values()):
            switch.off()

    def request_stop_execution(self, execution_id: str) -> None:
        """Call this execution off. RQ's thread calls this when a job was canceled."""
        if (switch := self._switches.get(execution_id)) is not None:
            switch.off()

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        return HEARTBEAT_TTL_S

    def run_maintenance_tasks(self) -> None:
        """The pool does it: RQ's own would fail what it finds, the pool requeues it."""

    def request_force_stop(self, signum: int, frame: object) -> None:
        """A second signal changes nothing: RQ's would fail the running job. The pool ends who takes too long."""

    def set_shutdown_requested_date(self) -> None:
        """RQ writes it from the signal's handler: an error there would rise in the middle of the running job."""

    def _set_ip_address(self, connection: Redis) -> None:
        """RQ asks CLIENT INFO for it, which redis-py cannot read where the socket's path has a space."""
        connection.client_setname(self.name)
        self.ip_address = "unknown"

    def _left_by_others(self) -> tuple[Job, Queue] | None:
        """A job that waited for a machine like this one."""
        if not self._has_awaited():
            return None
        job_id = take(self._queue, [model for model in awaited(self._queue) if self._tasks.may_run(*model)])
        job = None if job_id is None else self._queue.fetch_job(job_id)
        return None if job is None else (job, self._queue)

    def _at_hand(self) -> tuple[Job, Queue] | None:
        """The next job, if any waits. It is logged as RQ logs one that was waited for."""
        self.heartbeat()
        found = self.queue_class.dequeue_any([self._queue], None, self.connection, self.job_class, self.serializer)
        if found is not None:
            self.log.info("Worker %s: %s: %s", self.name, found[1].name, found[0].id)
        return found

    def _begin(self, job_id: str, switch: OffSwitch, asked: str = "") -> Execution | None:
        """Register the job as this worker's; None where there is nothing to run any more, or another computes it."""
        def register_it(pipeline: Pipeline, job: Job) -> None:
            self._forget_executions()  # of a first try that somebody came between
            self.set_state(WorkerStatus.BUSY, pipeline=pipeline)
            execution = register(pipeline, job, self.name)
            # Before anybody can read of it: a stop command may follow at once.
            self._switches[execution.id] = switch
            self.executions[execution.id] = execution

        if begin(self._queue, job_id, register_it, asked):
            return self.execution
        self._forget_executions()
        return None

    def _forget_executions(self) -> None:
        self.executions.clear()
        self._switches.clear()

    def _run(self, execution: Execution, switch: OffSwitch, began: float) -> None:
        try:
            outcome, result = self._tasks.run(Task.of(execution), switch)
        except NotHere:
            self._requeue(execution, False, "this machine has not its model")
        except RedisError as error:
            log.warning("job %s: the queue server was away or full: %s", execution.job_id, error)
            self._requeue(execution, not will_pass(error), "the queue server was away or full")
        except Exception:
            log.exception("job %s: unexpected error", execution.job_id)
            self._requeue(execution, True, "an unexpected error")
        else:
            took_ms = (time.monotonic() - began) * 1000
            _patiently(lambda: share(execution.job, outcome,
                                     lambda job_id: self._end_other(job_id, execution.job_id, outcome, result)))
            _patiently(lambda: self._end(execution, outcome, result, took_ms))

    def _end_other(self, job_id: str, own_id: str, outcome: Outcome, result: bytes) -> None:
        """End a job that is joined with the own one, which its result was written down for."""
        written = self._tasks.results.put(job_id, self._tasks.results.whole(own_id, result))
        if end_joined(self._queue, job_id, outcome, written):
            self._tidy(job_id, outcome)
        else:
            self._tasks.results.drop(written)

    def _tidy(self, job_id: str, outcome: Outcome) -> None:
        tidy = self._tasks.images.keep if outcome.succeeded else self._tasks.images.delete
        tidy(job_id)

    def _end(self, execution: Execution, outcome: Outcome, result: bytes, took_ms: float) -> None:
        if not end(self._queue, execution.job_id, execution.id, outcome, result, took_ms):
            self._tasks.results.drop(result)
            log.info("job %s was canceled, or is another's, after %.0f ms here", execution.job_id, took_ms)
            return
        if outcome.succeeded:
            self._count(execution.job, outcome, took_ms)  # at once: whoever is killed before has not counted it
        self._tidy(execution.job_id, outcome)

    def _count(self, job: Job, outcome: Outcome, took_ms: float) -> None:
        assert job.started_at is not None, "it has run"
        queue_ms = max(0.0, (job.started_at.timestamp() - job.meta["accepted_at"]) * 1000)  # the clock may be set back
        count_prediction(self._tasks.numbers, job.meta["model_type"].partition(":")[0], "job", outcome.timings_ms or {},
                         queue_ms, queue_ms + took_ms)

    def _requeue(self, execution: Execution, blame: bool, why: str) -> None:
        _patiently(lambda: requeue(self._queue, execution.job_id, execution.id, blame, why))

    def _send_heartbeat(self, running: tuple[Execution, OffSwitch]) -> None:
        execution, switch = running
        try:
            if is_wanted(self._queue, execution):
                self.maintain_heartbeats(execution.job, execution)
            else:
                switch.off()  # canceled, or given to another while this worker was not heard
        except RedisError as error:
            log.warning("heartbeat of job %s not sent: %s", execution.job_id, error)


def _patiently(call: Callable[[], T], passes: Callable[[RedisError], bool] = will_pass) -> T:
    """Try until the queue server does it: what a job came to is not thrown away for a restart of the server, nor for
    a full disk. What may not be done twice is tried again after a refusal alone, not after a lost answer."""
    while True:
        try:
            return call()
        except RedisError as error:
            if not passes(error):
                raise
            log.warning("the queue server does not take what is written, trying again: %s", error)
            time.sleep(RETRY_S)
