"""Inline work that became a job: it goes on where it runs, and its result is filed under the job's id.

Its job is held by this process with a lease, as a worker holds one: if the process dies, the pool puts the job in the
queue, and it is run from its stored image.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable

from api.inline import InlineRun
from inference.errors import InferenceError
from inference.model import Prediction
from jobs.errors import QueueUnavailable
from jobs.outcome import WORKER_LOST, Outcome
from jobs.queue import RENEW_S, Execution, JobQueue, JobRequest
from jobs.record import JobRecord

RETRY_S = 0.5
log = logging.getLogger(__name__)


class Promotions:
    """Those of one process. `count` is told of each that begins (1) and ends (-1)."""

    def __init__(self, queue: JobQueue, count: Callable[[int], None]) -> None:
        self._queue, self._count = queue, count
        self._owner = f"front.{uuid.uuid4().hex}"

    def take(self, run: InlineRun, request: JobRequest, image: bytes,
             observe: Callable[[Prediction], None]) -> JobRecord:
        """Accept as a job what runs already; `observe` is given its prediction.

        Raises:
            QueueFull, QueueUnavailable: it is no job, and runs on.
        """
        record, execution = self._queue.adopt(request, image, self._owner)
        log.warning("request %s: takes longer than predicted, goes on as job %s", request.request_id, record.id)
        self._count(1)
        filing = (run.detached(), execution, image, observe)
        threading.Thread(target=self._see_through, args=filing, name="promoted", daemon=True).start()
        return record

    def _see_through(self, run: InlineRun, execution: Execution, image: bytes,
                     observe: Callable[[Prediction], None]) -> None:
        try:
            outcome = self._outcome(run, execution, observe)
            while not self._tried(lambda: self._queue.end(execution, outcome, image)):
                time.sleep(RETRY_S)
        finally:
            self._count(-1)

    def _outcome(self, run: InlineRun, execution: Execution, observe: Callable[[Prediction], None]) -> Outcome:
        try:
            while not run.within(RENEW_S).attend():
                self._tried(lambda: self._queue.renew(execution))
            prediction, _ = run.turn.result()
            observe(prediction)
            return Outcome(prediction=prediction.to_dict())
        except InferenceError as error:
            return Outcome(kind=type(error).__name__, detail=str(error))
        except Exception as error:
            log.exception("job %s: unexpected error", execution.job_id)
            return Outcome(kind=WORKER_LOST, detail=f"unexpected {type(error).__name__}; the server's log has it")

    def _tried(self, call: Callable[[], None]) -> bool:
        try:
            call()
            return True
        except QueueUnavailable as error:
            log.warning("a job that runs inline: %s", error)
            return False
