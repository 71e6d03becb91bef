"""The pool of workers: forks them, watches them, replaces them, and requeues what a dead one ran.

RQ notices the death of a SimpleWorker after minutes. Here the parent looks each second at who executes what.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq.job import Job
from rq.registry import CanceledJobRegistry
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerPool

from jobs.queue import QUEUE, make_queue
from jobs.recovery import Recovery
from lifeline import die_with_parent, show_as
from worker.tasks import Tasks
from worker.worker import Worker

STORE_SWEEP_S = 60
STORE_GRACE_S = 300
log = logging.getLogger(__name__)


class Pool(WorkerPool):
    """Keeps the workers running and sees to it that nothing they ran is lost.

    A pool's workers bear its name. Only one pool of a name runs at a time: its launcher has a lock that its children
    share.
    """

    def __init__(self, name: str, make_client: Callable[[], Redis], make_tasks: Callable[[Redis], Tasks],
                 workers: int, stop_timeout_s: float) -> None:
        super().__init__([QUEUE], make_client(), num_workers=workers, worker_class=Worker, serializer=JSONSerializer)
        self.name = name
        self._queue = make_queue(self.connection)
        self._recovery = Recovery(self._queue, name)
        self._make_client, self._make_tasks = make_client, make_tasks
        own = make_tasks(self.connection)
        self._store, self._ended = own.store, own.ended
        self._stop_timeout_s, self._stop_at = stop_timeout_s, float("inf")
        self._store_swept_at = 0.0
        self._reachable = True

    def start_worker(self, count: int | None = None, burst: bool = False, _sleep: float = 0,
                     logging_level: str = "INFO") -> None:
        super().start_worker(count, burst, _sleep, logging_level)

    def start_workers(self, burst: bool = False, _sleep: float = 0, logging_level: str = "INFO") -> None:
        """Nothing yet: the first check requeues what a killed pool left, then forks."""

    def get_worker_process(self, name: str, burst: bool, _sleep: float = 0,
                           logging_level: str = "INFO") -> BaseProcess:
        return get_context("fork").Process(target=self._run_worker, args=(f"{self.name}.{name}", os.getpid()))

    def check_workers(self, respawn: bool = True) -> None:
        """Each second: reap, requeue what nobody executes, fork what is missing. Without a queue server, wait."""
        self.reap_workers()
        try:
            self._recovery.look(self.worker_dict.keys())
            self._sweep_store()
            super().check_workers(respawn)
            self._say_reachable(True)
        except RedisError as error:
            self._say_reachable(False, error)

    def all_workers_have_stopped(self) -> bool:
        """While stopping: after the patience, end the rest; once all are gone, requeue what they ran."""
        self.stop_workers()  # again: one that was just being forked did not hear the first
        if time.monotonic() > self._stop_at:
            self._kill_workers()
        stopped = super().all_workers_have_stopped()
        if stopped:
            self._requeue_at_stop()
        return stopped

    def request_stop(self, signum: int | None = None, frame: object = None) -> None:
        self._stop_at = min(self._stop_at, time.monotonic() + self._stop_timeout_s)
        super().request_stop(signum, frame)

    def handle_dead_worker(self, worker_data: Any) -> None:
        super().handle_dead_worker(worker_data)
        if worker_data.process.exitcode and self.status != self.Status.STOPPED:
            log.error("worker %d died with exit code %d", worker_data.pid, worker_data.process.exitcode)

    def _run_worker(self, name: str, pool_pid: int) -> None:
        """The child's life, from fork to exit."""
        die_with_parent(pool_pid)
        show_as("punnet-worker")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # until the worker sets its own: not the pool's
        client = self._make_client()
        Worker(make_queue(client), name, self._make_tasks(client)).work(logging_level=None)

    def _kill_workers(self) -> None:
        for data in self.worker_dict.values():
            log.warning("worker %d still runs a job after %g s: it is requeued", data.pid, self._stop_timeout_s)
            os.kill(data.pid, signal.SIGKILL)
        self._stop_at = float("inf")

    def _requeue_at_stop(self) -> None:
        try:
            self._recovery.look((), blame=False)
        except RedisError as error:
            log.error("jobs of stopped workers stay with them until the next start: %s", error)

    def _sweep_store(self) -> None:
        """Forget jobs whose time is over, and delete images whose job has ended or was never accepted, where a crash
        came between."""
        if time.monotonic() - self._store_swept_at < STORE_SWEEP_S:
            return
        self._store_swept_at = time.monotonic()
        self._queue.finished_job_registry.cleanup()
        self._queue.failed_job_registry.cleanup()
        self.connection.zremrangebyscore(CanceledJobRegistry(queue=self._queue).key, 0, time.time())
        self._ended.prune()
        for job_id in self._store.ids_older_than(STORE_GRACE_S):
            status = self.connection.hget(Job.key_for(job_id), "status")
            if status in (None, b"finished", b"failed", b"canceled"):
                self._store.delete(job_id)

    def _say_reachable(self, reachable: bool, error: Exception | None = None) -> None:
        if reachable != self._reachable:
            self._reachable = reachable
            log.warning("queue server is back" if reachable else f"queue server does not answer: {error}")
