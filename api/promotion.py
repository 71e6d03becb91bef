"""An inline call that outlasts its time becomes a job: its run goes on, and its result is filed under the job's id.

This web process gives the job heartbeats, as a worker does. If the process dies, the workers recover the job and run
it from its stored image: those of this machine at once (jobs/owners.py), others once its heartbeats are missed.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from api.costs import Costs
from api.counting import Counting
from api.inline import Attended
from api.routing import Decision
from api.waiting import Waiting
from inference.errors import InferenceError, PredictorsAway, SlowToDecode
from jobs.errors import QueueUnavailable
from jobs.events import JobEvents
from jobs.execution import HEARTBEAT_S, Execution
from jobs.job import WORKER_LOST, JobRecord, JobRequest, Outcome
from jobs.owners import Owner
from jobs.queue import JobQueue
from predictors.client import Prediction, Route

RETRY_S = 0.5
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Promoted:
    """A run that goes on as a job."""

    run: Attended[Prediction]
    route: Route
    request: JobRequest
    execution: Execution
    began: float = field(default_factory=time.monotonic)


class Promotions:
    """The promoted runs of one web process. `count` is told of each that begins (1) and ends (-1)."""

    def __init__(self, queue: JobQueue, events: JobEvents, waiting: Waiting, costs: Costs, counting: Counting,
                 count: Callable[[int], None], owner: Owner) -> None:
        self._queue, self._events, self._waiting, self._costs, self._count = queue, events, waiting, costs, count
        self._counting, self._owner = counting, owner

    def start(self) -> None:
        """After the fork, never before."""
        self._owner.start()

    def promote(self, run: Attended[Prediction], route: Route, request: JobRequest, image: bytes) -> JobRecord:
        """Accept as a job what runs already.

        Raises:
            QueueFull, QueueUnavailable: it is no job, and runs on.
        """
        record, execution = self._queue.promote(request, image, self._owner.name)
        log.warning("request %s: takes longer than predicted, goes on as job %s", request.request_id, record.id)
        self._count(1)
        self._counting.rerouted("outlasted")
        promoted = Promoted(run, route, request, execution)
        threading.Thread(target=self._see_through, args=(promoted,), name="promoted", daemon=True).start()
        return record

    def _see_through(self, promoted: Promoted) -> None:
        try:
            with (self._waiting.counted(promoted.route, promoted.request.predicted_ms),
                  self._events.watching(promoted.execution.job_id) as news):
                self._end(promoted, *self._outcome(promoted, news))
        except SlowToDecode as error:
            log.info("job %s waits for a worker: %s", promoted.execution.job_id, error)
            self._requeue(promoted)
        except PredictorsAway as error:
            log.warning("job %s is left to the workers: %s", promoted.execution.job_id, error)
        finally:
            self._count(-1)

    def _outcome(self, promoted: Promoted, news: threading.Event) -> tuple[Outcome, bytes]:
        """How the run ended, and its result. Raises PredictorsAway, SlowToDecode."""
        try:
            prediction = self._attend(promoted, news)
            self._costs.observe(prediction.samples)
            decision = Decision(promoted.route, promoted.request.predicted_ms)
            total_ms = (time.monotonic() - promoted.began) * 1000
            self._counting.predicted(promoted.request.model_name, decision, prediction, total_ms)
            # It never waited as a job, but as a call.
            timings_ms = {"queue": round(prediction.queue_ms, 3), **prediction.timings_ms}
            return Outcome(model_version=prediction.model_version, image=prediction.image,
                           timings_ms=timings_ms), prediction.result
        except (PredictorsAway, SlowToDecode):
            raise
        except InferenceError as error:
            self._costs.observe_failed(error)
            return Outcome(kind=type(error).__name__, detail=str(error)), b""
        except Exception as error:
            log.exception("job %s: unexpected error", promoted.execution.job_id)
            return Outcome(kind=WORKER_LOST, detail=f"unexpected {type(error).__name__}; the server's log has it"), b""

    def _attend(self, promoted: Promoted, news: threading.Event) -> Prediction:
        news.set()  # the job may have been canceled before anybody watched it
        run = promoted.run.wanted_while(lambda: self._is_wanted(promoted.execution, news))
        while not run.within(HEARTBEAT_S).attend():
            news.set()  # the next heartbeat is due
        return run.result()

    def _is_wanted(self, execution: Execution, news: threading.Event) -> bool:
        """Until the job was canceled, or is run elsewhere. While the queue server is away nobody knows better."""
        if not news.is_set():
            return True
        news.clear()
        try:
            return self._queue.heartbeat(execution)
        except QueueUnavailable as error:
            log.warning("no heartbeat for job %s: %s", execution.job_id, error)
            return True

    def _requeue(self, promoted: Promoted) -> None:
        try:
            self._queue.requeue(promoted.execution)
        except QueueUnavailable as error:  # it is recovered once its heartbeats are missed
            log.warning("job %s is left to the workers: %s", promoted.execution.job_id, error)

    def _end(self, promoted: Promoted, outcome: Outcome, result: bytes) -> None:
        while not self._is_ended(promoted, outcome, result):
            time.sleep(RETRY_S)

    def _is_ended(self, promoted: Promoted, outcome: Outcome, result: bytes) -> bool:
        try:
            self._queue.end(promoted.execution, outcome, result)
            return True
        except QueueUnavailable as error:
            log.warning("job %s cannot be ended yet: %s", promoted.execution.job_id, error)
            return False
