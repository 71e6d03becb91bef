"""This machine among the others: its heartbeats, and the jobs that others left to it."""

import socket
import time
from multiprocessing import get_context

from rq import Queue

from jobs.deferral import awaited
from jobs.leaving import end_overdue
from jobs.machines import SIGN_S, Machine, Models, say_alive, say_gone
from worker.tasks import Tasks


class OwnMachine:
    """A pool's part of it. What `has_awaited` tells is seen by the workers, too, which are forked from the pool."""

    def __init__(self, queue: Queue, name: str, workers: int, tasks: Tasks) -> None:
        self._queue, self._name, self._workers, self._tasks = queue, name, workers, tasks
        self._said: Models | None = None
        self._said_at = float("-inf")
        self._awaited = get_context("fork").RawValue("b", 0)

    @property
    def has_awaited(self) -> bool:
        """Whether jobs wait for a machine like this one."""
        return bool(self._awaited.value)

    def look(self) -> None:
        """To be called each second. Raises RedisError."""
        self._say_alive()
        wanted = awaited(self._queue)
        self._awaited.value = any(self._tasks.may_run(*model) for model in wanted)
        for job_id in end_overdue(self._queue) if wanted else ():
            self._tasks.images.delete(job_id)

    def leave(self) -> None:
        """It takes no more jobs. Raises RedisError."""
        say_gone(self._queue, self._name)

    def _say_alive(self) -> None:
        """Now and then, and when its models changed."""
        models, now = self._tasks.catalogue.fingerprints, time.monotonic()
        if models != self._said or now - self._said_at >= SIGN_S:
            say_alive(self._queue, Machine(self._name, socket.gethostname(), self._workers, models))
            self._said, self._said_at = models, now
