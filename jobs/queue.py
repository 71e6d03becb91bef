"""Jobs in the queue server, for the HTTP side: submit, promote, read, cancel."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from redis import Redis
from rq import Queue
from rq.executions import Execution

from jobs import execution as executions
from jobs.acceptance import Acceptance
from jobs.backlog import Backlog
from jobs.connection import unavailable
from jobs.errors import QueueUnavailable
from jobs.execution import HEARTBEAT_TTL_S, end_joined
from jobs.images import Images
from jobs.job import JobRecord, JobRequest, Outcome
from jobs.joining import is_wanted, share
from jobs.listing import Listing
from jobs.outbox import tries
from jobs.records import Records
from jobs.recovery import requeue
from jobs.results import Place, Results
from jobs.stores.contract import Store
from jobs.turns import make_queue
from settings import Settings


class JobQueue:
    """All that the HTTP side does with jobs. `in_thread` runs the store's calls where they block nobody: a folder's
    in a native thread, Redis's as they are, for their sockets yield."""

    def __init__(self, client: Redis, store: Store, settings: Settings,
                 in_thread: Callable[[Callable[[], Any]], Any] = lambda call: call()) -> None:
        self._in_thread = in_thread
        self._client = client
        self._images, self._results = Images(store), Results(store)
        self._queue = make_queue(client, settings.queue)
        self._backlog = Backlog(self._queue, settings)
        self.records = Records(self._queue, self._backlog, self._stored_result)
        self.listing = Listing(self._queue, self.records)
        self._acceptance = Acceptance(self._queue, self._images, self._results, settings, self._backlog, in_thread)

    def submit(self, request: JobRequest, image: bytes) -> JobRecord:
        """Accept a job on an encoded image: once this returns, it will be answered.

        Raises:
            QueueFull, QueueUnavailable, NotInTime.
        """
        with unavailable():
            job_id = self._acceptance.queue(request, image)
        return self._read_accepted(job_id, request)

    def promote(self, request: JobRequest, image: bytes, owner: str) -> tuple[JobRecord, Execution]:
        """Accept as a job what runs already, asked for by this process: it never waits in the queue, and if `owner`
        sends no heartbeats any more, a worker runs it from its stored image.

        Raises:
            QueueFull, QueueUnavailable.
        """
        with unavailable():
            execution = self._acceptance.register(request, image, owner)
        return self._read_accepted(execution.job_id, request), execution

    def heartbeat(self, execution: Execution) -> bool:
        """Say that a promoted job goes on. False where it was canceled, or is run elsewhere: it is to be called off.

        Raises:
            QueueUnavailable.
        """
        with unavailable(), self._client.pipeline() as pipeline:
            if not is_wanted(self._queue, execution):
                return False
            execution.heartbeat(self._queue.started_job_registry, HEARTBEAT_TTL_S, pipeline)
            pipeline.execute()
            return True

    def end(self, execution: Execution, outcome: Outcome, result: bytes) -> None:
        """End a promoted job, unless it was ended or is run elsewhere by now.

        Raises:
            QueueUnavailable: it is not ended; try again.
        """
        tidy = self._images.keep if outcome.succeeded else self._images.delete

        def end_one(job_id: str, end: Callable[[Outcome, bytes], bool]) -> None:
            written = self._in_thread(lambda: self._results.put(job_id, result))
            if end(outcome, written):
                self._in_thread(lambda: tidy(job_id))
            else:
                self._in_thread(lambda: self._results.drop(written))

        with unavailable():
            share(execution.job, outcome, lambda other: end_one(other, partial(end_joined, self._queue, other)))
            end_one(execution.job_id, partial(executions.end, self._queue, execution.job_id, execution.id))

    def requeue(self, execution: Execution) -> None:
        """Put a promoted job at the head of the queue: a worker is to run it.

        Raises:
            QueueUnavailable.
        """
        with unavailable():
            requeue(self._queue, execution.job_id, execution.id, False, "its image was slow to decode")

    def read(self, job_id: str, owner: str = "") -> JobRecord:
        """Where a job stands. For another than its owner there is no such job.

        Raises:
            JobNotFound, JobExpired, QueueUnavailable.
        """
        return self.records.read(job_id, owner)

    def deliveries(self, job_id: str, owner: str = "") -> Sequence[dict]:
        """The tries to tell a job's webhook, the oldest first.

        Raises:
            JobNotFound, JobExpired, QueueUnavailable.
        """
        self.read(job_id, owner)
        with unavailable():
            return tries(self._queue, job_id)

    def _stored_result(self, job_id: str, place: Place) -> bytes:
        return self._in_thread(lambda: self._results.get(job_id, place))

    def ended_image(self, job_id: str) -> bytes:
        """The image of a job that succeeded, kept for a while so that its result can be drawn on it.

        Raises:
            ImageLost, QueueUnavailable.
        """
        with unavailable():
            return self._in_thread(lambda: self._images.get(job_id))

    def cancel(self, job_id: str, owner: str = "") -> JobRecord:
        """End a job as canceled: a queued one leaves the queue, a running one is called off, an ended one is left as
        it is. The record that is returned has ended.

        Raises:
            JobNotFound, JobExpired, QueueUnavailable.
        """
        record = self.read(job_id, owner)
        return record if record.ended else self._end_and_read(job_id, owner, executions.cancel)

    def give_up(self, job_id: str, owner: str = "") -> JobRecord:
        """End a job that still waits at its deadline; one that runs is ended by its worker.

        Raises:
            JobNotFound, JobExpired, QueueUnavailable.
        """
        return self._end_and_read(job_id, owner, executions.miss)

    def _end_and_read(self, job_id: str, owner: str, end: Callable[[Queue, str], bool]) -> JobRecord:
        with unavailable():
            if end(self._queue, job_id):
                self._in_thread(lambda: self._images.delete(job_id))
        return self.read(job_id, owner)

    def _read_accepted(self, job_id: str, request: JobRequest) -> JobRecord:
        """Accepted is accepted, also where the queue server went away in this moment."""
        try:
            return self.read(job_id, request.owner)
        except QueueUnavailable:
            return JobRecord(job_id, "queued", request.model_type, datetime.now(UTC), request.owner, request.request_id)

