"""The pool's child that tells receivers of webhooks what happened to jobs. It runs no job, and holds none up."""

import logging
import os
import signal
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

from redis.exceptions import RedisError
from rq import Queue

from jobs.outbox import Outbox
from lifeline import die_with_parent, end_in_words, show_as
from settings import Settings

LOOK_S = 0.5  # until there is a first webhook
END_S = 5.0  # for what is under way at a stop
log = logging.getLogger(__name__)


class DelivererProcess:
    """Forked by the pool, and forked again when it has died."""

    def __init__(self, settings: Settings, name: str, make_queue: Callable[[], Queue]) -> None:
        """`name` is the pool's: only one pool of a name runs at a time, and so only one deliverer."""
        self._settings, self._name, self._make_queue = settings, name, make_queue
        self._process: BaseProcess | None = None

    def keep(self) -> None:
        """See to it that it runs. To be called again and again."""
        if self._process is None or not self._process.is_alive():
            self._say_ended()
            self._process = get_context("fork").Process(target=self._run, args=(os.getpid(),), daemon=True)
            self._process.start()

    def end(self) -> None:
        """Let it tell what it is about to tell, and end it."""
        if self._process is not None and self._process.is_alive():
            self._process.terminate()
            self._process.join(END_S)
            self._process.kill()

    def _say_ended(self) -> None:
        if self._process is not None:
            log.error("the deliverer of webhooks (pid %d) %s; another takes its place, and delivers what it left",
                      self._process.pid, end_in_words(self._process.exitcode or 0))

    def _run(self, pool_pid: int) -> None:
        """The child's life, from fork to exit."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        die_with_parent(pool_pid)
        show_as("punnet-webhooks")
        queue = self._make_queue()
        outbox = Outbox(queue, self._name, self._settings.result_ttl_s)
        while not _is_needed(outbox):
            time.sleep(LOOK_S)
        from deliveries.deliverer import deliver  # many services never tell anybody: it is loaded for the first webhook
        deliver(self._settings, queue, outbox)


def _is_needed(outbox: Outbox) -> bool:
    try:
        if outbox.is_empty():
            return False
        outbox.release_own()
        return True
    except RedisError as error:
        log.debug("nobody can tell whether there are webhooks: %s", error)
        return False
