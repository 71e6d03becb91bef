"""Jobs in the queue server: submit, read, cancel, hand back. With worker/pool.py the only import of rq."""

import logging
import math
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, WatchError
from rq import Queue, Retry
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from jobs import handback
from jobs.ending import ACCEPTED_MS, ENDED_MS, TOMBSTONE, mark_ended, pace
from jobs.errors import JobExpired, JobNotFound, JobRunning, NotInTime, QueueFull, QueueUnavailable
from jobs.outcome import WORKER_LOST, Outcome
from jobs.record import JobRecord, State
from jobs.store import EndedImages, FolderStore, ImageStore, RedisStore
from settings import MEGA, Settings

log = logging.getLogger(__name__)
QUEUE = "punnet"
ENDED_SHARE = 4  # images of ended jobs may take a quarter of what those of waiting ones may
TASK = "worker.tasks.predict"  # by name: this package does not import the worker
TILES_DONE = "punnet_tiles_done"  # a field of the job's hash, beside RQ's own
# A running job's lease: renewed each RENEW_S by who runs it, given up for lost after LEASE_S.
LEASE_S = 15
RENEW_S = 3
# Only trouble of the machinery is tried again; a refused picture is an outcome like any other.
RETRIES = 3
STATES: dict[JobStatus, State] = {JobStatus.STARTED: "processing", JobStatus.FAILED: "failed",
                                  JobStatus.STOPPED: "failed", JobStatus.CANCELED: "canceled"}


@dataclass(frozen=True)
class JobRequest:
    """What a worker needs to know beside the image: ids and plain values only."""

    model_type: str
    parameters: dict[str, Any]
    predicted_ms: float
    request_id: str = "-"
    model_mark: str = ""  # the files that the model was loaded from where the request was checked
    tiles: int = 1
    deadline_at: float | None = None  # seconds since the epoch: what has not begun by then is not begun


class JobQueue:
    """All that the HTTP side does with jobs. `in_thread` runs the store's calls where they block nobody: a folder's
    in a native thread, Redis's as they are, for their sockets yield."""

    def __init__(self, client: Redis, store: ImageStore, settings: Settings,
                 in_thread: Callable[[Callable[[], Any]], Any] = lambda call: call()) -> None:
        self._in_thread = in_thread
        self._ended = make_ended_store(client, settings)
        self._client = client
        self._store = store
        self._settings = settings
        self._queue = make_queue(client)

    def submit(self, request: JobRequest, image: bytes) -> JobRecord:
        """Accept a job on an encoded image: once this returns, it will be answered.

        Raises:
            QueueFull, QueueUnavailable, NotInTime.
        """
        with _unavailable():
            job = self._accepted(request, image, JobStatus.QUEUED)
            self._queue.enqueue_job(job)
        return self._read_accepted(job.id, request)

    def adopt(self, request: JobRequest, image: bytes, owner: str) -> tuple[JobRecord, Execution]:
        """Accept as a job what runs in this process already: it is never in line, and if `owner` stops to renew
        its lease it is run from its stored image.

        Raises:
            QueueFull, QueueUnavailable.
        """
        with _unavailable():
            job = self._accepted(request, image, JobStatus.STARTED)
            with self._client.pipeline() as pipeline:
                job.save(pipeline=pipeline)
                job.prepare_for_execution(owner, pipeline=pipeline)
                execution = Execution.create(job, LEASE_S, pipeline, worker_name=owner)
                pipeline.execute()
        return self._read_accepted(job.id, request), execution

    def end(self, execution: Execution, outcome: Outcome, image: bytes) -> None:
        """End a job that was adopted, unless it is run elsewhere by now.

        Raises:
            QueueUnavailable: it is not ended; try again.
        """
        job_id = execution.job_id
        with _unavailable():
            handback.end(self._queue, job_id, execution.id, outcome)
            if outcome.succeeded:
                self._in_thread(lambda: self._ended.put(job_id, image))
            self._in_thread(lambda: self._store.delete(job_id))

    def renew(self, execution: Execution) -> None:
        """Raises QueueUnavailable."""
        with _unavailable(), self._client.pipeline() as pipeline:
            execution.heartbeat(self._queue.started_job_registry, LEASE_S, pipeline)
            pipeline.execute()

    def read(self, job_id: str) -> JobRecord:
        """Where a job stands.

        Raises:
            JobNotFound, JobExpired, QueueUnavailable.
        """
        with _unavailable():
            try:
                job = Job.fetch(job_id, self._client, JSONSerializer)
            except (NoSuchJobError, ValueError):
                known = self._client.exists(TOMBSTONE + job_id)
                raise _gone(job_id, bool(known)) from None
            return self._record(job)

    def ended_image(self, job_id: str) -> bytes:
        """The image of a job that succeeded, kept for a while so that its result can be drawn on it.

        Raises:
            ImageLost, QueueUnavailable.
        """
        with _unavailable():
            return self._in_thread(lambda: self._ended.get(job_id))

    def cancel(self, job_id: str) -> JobRecord:
        """Take a queued job out of the queue; an ended one is left as it is.

        Raises:
            JobRunning, JobNotFound, JobExpired, QueueUnavailable.
        """
        record = self.read(job_id)
        with _unavailable():
            if not record.ended and self._take_out(job_id, self._cancel):
                self._in_thread(lambda: self._store.delete(job_id))
        record = self.read(job_id)
        if not record.ended:
            raise JobRunning(f"job {job_id} is running; a running job cannot be stopped yet")
        return record

    def give_up(self, job_id: str) -> JobRecord:
        """End a job that still waits at its deadline; one that runs is ended by its worker."""
        with _unavailable():
            if self._take_out(job_id, handback.miss):
                self._in_thread(lambda: self._store.delete(job_id))
        return self.read(job_id)

    def _read_accepted(self, job_id: str, request: JobRequest) -> JobRecord:
        """Accepted is accepted, also where the queue server went away in this moment."""
        try:
            return self.read(job_id)
        except QueueUnavailable:
            return JobRecord(job_id, "queued", request.model_type, datetime.now(UTC), request.request_id)

    def _accepted(self, request: JobRequest, image: bytes, status: JobStatus) -> Job:
        """The job with its image stored and its work counted; not saved yet."""
        job_id = uuid.uuid4().hex
        self._check_room(len(image))
        if status is JobStatus.QUEUED:
            self._check_deadline(request)
        self._in_thread(lambda: self._store.put(job_id, image))
        accepted_ms = float(cast(Any, self._client.incrbyfloat(ACCEPTED_MS, request.predicted_ms)))
        return self._job(job_id, request, accepted_ms, status)

    def _check_deadline(self, request: JobRequest) -> None:
        """What cannot begin in time is not taken."""
        if request.deadline_at is not None:
            wait_s = self._backlog_ms() / 1000 / self._settings.job_workers
            if time.time() + wait_s > request.deadline_at:
                raise NotInTime(f"it could not begin in time: the jobs before it take about {wait_s:.1f} s")

    def _backlog_ms(self) -> float:
        """What the workers will take for all jobs that have not ended, together."""
        predicted_ms = _number(self._client.get(ACCEPTED_MS)) - _number(self._client.get(ENDED_MS))
        return max(0.0, predicted_ms) * pace(self._client)

    def _check_room(self, image_bytes: int) -> None:
        waiting, running = self._client.llen(self._queue.key), self._client.zcard(self._queue.started_job_registry.key)
        if not waiting and not running:
            self._client.copy(ACCEPTED_MS, ENDED_MS, replace=True)  # nothing is left: forget what a crash lost
        max_bytes = int(self._settings.queue_max_mb * MEGA)
        if waiting >= self._settings.queue_max_jobs:
            raise QueueFull(f"{waiting} jobs wait already (PUNNET_QUEUE_MAX_JOBS)", self._place_free_s(waiting))
        if self._in_thread(self._store.total_bytes) + image_bytes > max_bytes:
            raise QueueFull(f"images of waiting jobs fill {self._settings.queue_max_mb:g} MB already "
                            "(PUNNET_QUEUE_MAX_MB)", self._place_free_s(waiting))

    def _place_free_s(self, waiting: int) -> float:
        """Until the job at the head has run: the backlog's predicted work, shared by the workers and the jobs."""
        return max(1.0, self._backlog_ms() / 1000 / max(1, waiting) / self._settings.job_workers)

    def _job(self, job_id: str, request: JobRequest, accepted_ms: float, status: JobStatus) -> Job:
        return self._queue.create_job(
            TASK, kwargs={"job_id": job_id, "model_type": request.model_type, "model_mark": request.model_mark,
                          "parameters": request.parameters, "deadline_at": request.deadline_at},
            job_id=job_id, description=f"predict {request.model_type}, request {request.request_id}", status=status,
            timeout=self._settings.job_timeout_s, result_ttl=self._settings.result_ttl_s,
            failure_ttl=self._settings.result_ttl_s, retry=Retry(max=RETRIES),
            meta={"model_type": request.model_type, "predicted_ms": request.predicted_ms, "accepted_ms": accepted_ms,
                  "accepted_at": time.time(), "request_id": request.request_id, "tiles": request.tiles,
                  "deadline_at": request.deadline_at})

    def _take_out(self, job_id: str, end: Callable[[Pipeline, Job], None]) -> bool:
        """Whether the job was still waiting; then it is ended, in one step with leaving the queue."""
        job = Job.fetch(job_id, self._client, JSONSerializer)
        with self._client.pipeline() as pipeline:
            while True:
                try:
                    pipeline.watch(self._queue.key)
                    if pipeline.lpos(self._queue.key, job_id) is None:
                        return False
                    pipeline.multi()
                    pipeline.lrem(self._queue.key, 1, job.id)
                    end(pipeline, job)
                    pipeline.execute()
                    return True
                except WatchError:
                    continue  # the queue moved meanwhile: look again

    def _cancel(self, pipeline: Pipeline, job: Job) -> None:
        job.ended_at = datetime.now(UTC)
        job.set_status(JobStatus.CANCELED, pipeline=pipeline)
        job.save(pipeline=pipeline)
        job.cleanup(self._settings.result_ttl_s, pipeline=pipeline, remove_from_queue=False)
        mark_ended(pipeline, job)

    def _record(self, job: Job) -> JobRecord:
        status = job.get_status(refresh=False)
        outcome = _outcome(job, status)
        state = STATES.get(status, "queued") if outcome is None or status != JobStatus.FINISHED else (
            "succeeded" if outcome.succeeded else "failed")
        return JobRecord(
            job.id, state, job.meta["model_type"], request_id=job.meta["request_id"],
            created_at=datetime.fromtimestamp(job.meta["accepted_at"], UTC),
            started_at=None if state == "queued" else job.started_at,
            completed_at=job.ended_at if state in ("succeeded", "failed", "canceled") else None,
            queue_position=self._position(job) if state == "queued" else None,
            eta_s=self._eta_s(job, state) if state in ("queued", "processing") else None,
            tiles=job.meta.get("tiles", 1), tiles_done=self._tiles_done(job, state), outcome=outcome)

    def _tiles_done(self, job: Job, state: State) -> int:
        if state == "succeeded":
            return job.meta.get("tiles", 1)
        return int(_number(self._client.hget(job.key, TILES_DONE))) if state == "processing" else 0

    def _position(self, job: Job) -> int:
        """1 is next. A job that a worker just took, or that is being handed back, is next too."""
        position = self._client.lpos(self._queue.key, job.id)
        return 1 if position is None else cast(int, position) + 1

    def _eta_s(self, job: Job, state: State) -> float:
        """Until its end: what was accepted before it and has not ended, shared by the workers at their pace."""
        before_ms, ran_ms = job.meta["accepted_ms"] - _number(self._client.get(ENDED_MS)), 0.0
        if state == "processing" and job.started_at is not None:
            before_ms, ran_ms = 0.0, (datetime.now(UTC) - job.started_at).total_seconds() * 1000
        left_ms = max(job.meta["predicted_ms"], before_ms / self._settings.job_workers) * pace(self._client) - ran_ms
        return max(1, math.ceil(left_ms)) / 1000


def make_queue(client: Redis) -> Queue:
    """The one queue. A worker with several would lose a job when it dies between two steps of RQ's."""
    return Queue(QUEUE, connection=client, serializer=JSONSerializer)


def make_store(client: Redis, settings: Settings) -> ImageStore:
    return FolderStore(settings.spool_dir) if settings.embedded else RedisStore(client)


def make_ended_store(client: Redis, settings: Settings) -> EndedImages:
    """The images of jobs that succeeded, for as long as their results are kept and while there is room."""
    store = FolderStore(settings.ended_dir) if settings.embedded else RedisStore(client, "punnet:ended-image")
    return EndedImages(store, settings.result_ttl_s, int(settings.queue_max_mb * MEGA / ENDED_SHARE))


def note_progress(client: Redis, job_id: str, tiles_done: int) -> None:
    """How far a running job is, for its document. A queue server that is away just now does not hinder the job."""
    try:
        client.hset(Job.key_for(job_id), TILES_DONE, tiles_done)
    except RedisError as error:
        log.warning("progress of job %s not noted: %s", job_id, error)


def retry_after_s(record: JobRecord) -> int:
    """Whole seconds until it is worth asking again."""
    return max(1, math.ceil(record.eta_s or 0))


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable("the queue server does not answer; try again in a few seconds") from error
    except OSError as error:  # of the spool folder; redis-py's own errors are RedisErrors
        raise QueueUnavailable(f"the image cannot be stored: {error.strerror or error}") from error


def _gone(job_id: str, known: bool) -> JobNotFound | JobExpired:
    return JobExpired(f"the result of job {job_id} has expired") if known else JobNotFound(f"no job {job_id}")


def _outcome(job: Job, status: JobStatus) -> Outcome | None:
    """What the worker handed back; for a job that RQ itself gave up, why."""
    if status == JobStatus.FINISHED:
        value = job.return_value()
        if value is None:  # the result's time ended a moment before the job's
            raise _gone(job.id, known=True)
        if not isinstance(value, dict):  # RQ's own note in the place of a result that it could not write
            return Outcome(kind=WORKER_LOST, detail="the result could not be written; the worker's log tells why")
        return Outcome.from_json(value)
    if status in (JobStatus.FAILED, JobStatus.STOPPED):
        return Outcome(kind=WORKER_LOST, detail="the job failed several times for reasons of the machinery; "
                                                "the worker's log tells them, then post the image again")
    return None


def _number(value: Any) -> float:
    return float(value or 0)
