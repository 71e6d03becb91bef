"""Jobs of which a web process does not know whether the queue server took them: the answer was lost, and the caller was
told that nothing is accepted. They are taken back as soon as the server answers."""

import logging
import threading
import time
from collections.abc import Callable

from redis.exceptions import RedisError

RETRY_S = 1.0
log = logging.getLogger(__name__)


class Doubts:
    """One process's. `take_back` may be repeated; under gevent the thread is a greenlet."""

    def __init__(self, take_back: Callable[[str], None]) -> None:
        self._take_back = take_back
        self._jobs: set[str] = set()
        self._lock = threading.Lock()

    def add(self, job_id: str) -> None:
        """See to it that there is no such job."""
        with self._lock:
            self._jobs.add(job_id)
            if len(self._jobs) == 1:
                threading.Thread(target=self._work, name="doubts", daemon=True).start()

    def _work(self) -> None:
        while (job_id := self._next()) is not None:
            try:
                self._take_back(job_id)
            except (RedisError, OSError) as error:
                log.info("whether job %s was accepted is not known yet: %s", job_id, error)
                time.sleep(RETRY_S)
            else:
                self._settle(job_id)

    def _next(self) -> str | None:
        with self._lock:
            return next(iter(self._jobs), None)

    def _settle(self, job_id: str) -> None:
        with self._lock:
            self._jobs.discard(job_id)
