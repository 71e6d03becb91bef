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
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerPool

from jobs.housekeeping import Housekeeping
from jobs.joining import resume
from jobs.ledger import Ledger
from jobs.lifetimes import Lifetimes
from jobs.recovery import Recovery
from jobs.trouble import is_out_of_memory
from jobs.turns import Turns
from lifeline import die_with_parent, end_in_words, show_as
from worker.deliverer import DelivererProcess
from worker.machine import OwnMachine
from worker.tasks import Tasks
from worker.worker import Worker

MAKE_ROOM_S = 10  # between two files of the queue server that are written anew
NO_ROOM = ("the disk of the state folder is nearly full: images of ended jobs are deleted, and new jobs refused, "
           "until there is more room")
log = logging.getLogger(__name__)


class Pool(WorkerPool):
    """Keeps the workers running and sees to it that nothing they ran is lost.

    A pool's workers bear its name. Only one pool of a name runs at a time: its launcher has a lock that its children
    share.
    """

    def __init__(self, name: str, make_queue: Callable[[], Turns], make_tasks: Callable[[Redis], Tasks],
                 keep_house: Callable[[Turns], Housekeeping], workers: int, stop_timeout_s: float,
                 deliverer: DelivererProcess, has_died: Callable[[str], bool]) -> None:
        """`has_died` tells of the machine's web processes."""
        self._queue = make_queue()
        super().__init__([self._queue.name], self._queue.connection, num_workers=workers, worker_class=Worker,
                         serializer=JSONSerializer)
        self.name = name
        self._recovery = Recovery(self._queue, name, has_died)
        self._make_queue, self._make_tasks = make_queue, make_tasks
        own = make_tasks(self.connection)
        self._exchange_poison = own.exchange_poison
        self._machine = OwnMachine(self._queue, name, workers, own)
        self._catalogue = own.catalogue
        self._housekeeping = keep_house(self._queue)
        self._lifetimes = Lifetimes(self._queue, self._housekeeping.forget)
        self._ledger = Ledger(self._queue, self._housekeeping.delete_images)
        self._stop_timeout_s, self._stop_at = stop_timeout_s, float("inf")
        self._room_made_at = float("-inf")
        self._trouble: str | None = None
        self._has_signed_off = False
        self._deliverer = deliverer

    def start_worker(self, count: int | None = None, burst: bool = False, _sleep: float = 0,
                     logging_level: str = "INFO") -> None:
        super().start_worker(count, burst, _sleep, logging_level)

    def start_workers(self, burst: bool = False, _sleep: float = 0, logging_level: str = "INFO") -> None:
        """Nothing yet: the first check requeues what a killed pool left, then forks."""

    def get_worker_process(self, name: str, burst: bool, _sleep: float = 0,
                           logging_level: str = "INFO") -> BaseProcess:
        return get_context("fork").Process(target=self._run_worker, args=(f"{self.name}.{name}", os.getpid()))

    def check_workers(self, respawn: bool = True) -> None:
        """Each second: reap, requeue what nobody executes, fork what is missing. Without a queue server that takes
        what is written, wait."""
        self.reap_workers()
        self._deliverer.keep()
        try:
            free_bytes = self._housekeeping.make_room()
            self.connection.ping()  # refused by a server whose disk is full, as everything is that it would write down
            self._recovery.look(self.worker_dict.keys())
            resume(self._queue, self._housekeeping.delete_images)
            self._lifetimes.look()
            self._ledger.look()
            self._exchange_poison()
            if free_bytes is not None:
                self._shorten_lifetimes(free_bytes)
            if self._catalogue.is_ready:  # who takes a job before would leave it to the others
                self._machine.look()
                super().check_workers(respawn)
            self._housekeeping.look()
            self._say(None if free_bytes is None else NO_ROOM)
        except RedisError as error:
            self._say(f"queue server takes no work: {error}")
            if is_out_of_memory(error):
                self._make_memory()
        except OSError as error:
            self._say(f"the state folder, or the store, cannot be used: {error}")

    def all_workers_have_stopped(self) -> bool:
        """While stopping: after the patience, end the rest; once all are gone, requeue what they ran."""
        self._sign_off()
        self.stop_workers()  # again: one that was just being forked did not hear the first
        if time.monotonic() > self._stop_at:
            self._kill_workers()
        stopped = super().all_workers_have_stopped()
        if stopped:
            self._requeue_at_stop()
            self._deliverer.end()
        return stopped

    def _sign_off(self) -> None:
        """Once: a queue server that is away is not to use up the stop's patience."""
        if self._has_signed_off:
            return
        self._has_signed_off = True
        try:
            self._machine.leave()
        except RedisError as error:
            log.warning("the other machines hear only later that this one stops: %s", error)

    def request_stop(self, signum: int | None = None, frame: object = None) -> None:
        self._stop_at = min(self._stop_at, time.monotonic() + self._stop_timeout_s)
        super().request_stop(signum, frame)

    def handle_dead_worker(self, worker_data: Any) -> None:
        super().handle_dead_worker(worker_data)
        self._recovery.note_dead_worker()
        if worker_data.process.exitcode and self.status != self.Status.STOPPED:
            log.error("worker %s.%s (pid %d) %s; another takes its place", self.name, worker_data.name, worker_data.pid,
                      end_in_words(worker_data.process.exitcode))

    def _run_worker(self, name: str, pool_pid: int) -> None:
        """The child's life, from fork to exit."""
        die_with_parent(pool_pid)
        show_as("punnet-worker")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # until the worker sets its own: not the pool's
        queue = self._make_queue()
        tasks = self._make_tasks(queue.connection)
        try:
            with tasks.numbers.living("worker"):
                Worker(queue, name, tasks, lambda: self._machine.has_awaited).work(logging_level=None)
        except RedisError as error:  # as it signs on or off; the pool sees that it ended
            log.warning("worker %d ends: the queue server is away or full: %s", os.getpid(), error)

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

    def _shorten_lifetimes(self, free_bytes: int) -> None:
        """The disk is full although no kept image is left on it: finished results go too, the oldest first."""
        if time.monotonic() - self._room_made_at < MAKE_ROOM_S:
            return
        self._room_made_at = time.monotonic()
        if self._lifetimes.shorten(free_bytes // 2):
            log.warning("finished results go before their time: the disk of the state folder is full")

    def _make_memory(self) -> None:
        """Nothing that takes memory is written, the end of a job neither: finished results make room, the oldest
        first, a few at each look."""
        try:
            if self._lifetimes.shed():
                log.warning("finished results go before their time: the queue server's memory is full")
        except RedisError as error:
            log.warning("no result could be deleted: %s", error)

    def _say(self, trouble: str | None) -> None:
        """Each trouble once, however long it lasts."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(trouble or "the queue goes on")
