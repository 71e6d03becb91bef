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
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from jobs.errors import JobExpired, JobNotFound, JobRunning, QueueFull, QueueUnavailable
from jobs.events import CHANNEL
from jobs.outcome import WORKER_LOST, Outcome
from jobs.record import JobRecord, State
from jobs.store import EndedImages, FolderStore, ImageStore, RedisStore
from settings import MEGA, Settings

log = logging.getLogger(__name__)
QUEUE = "punnet"
ENDED_SHARE = 4  # images of ended jobs may take a quarter of what those of waiting ones may
TASK = "worker.tasks.predict"  # by name: this package does not import the worker
# Kept for a day after a job's time, so that its id is told from one that never was.
TOMBSTONE = "punnet:known:"
TOMBSTONE_S = 24 * 3600
# Predicted milliseconds of all jobs ever accepted, and of all that have ended: their difference is the backlog.
ACCEPTED_MS = "punnet:accepted-ms"
ENDED_MS = "punnet:ended-ms"
TILES_DONE = "punnet_tiles_done"  # a field of the job's hash, beside RQ's own
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
            QueueFull, QueueUnavailable.
        """
        job_id = uuid.uuid4().hex
        with _unavailable():
            self._check_room(len(image))
            self._in_thread(lambda: self._store.put(job_id, image))
            accepted_ms = float(cast(Any, self._client.incrbyfloat(ACCEPTED_MS, request.predicted_ms)))
            self._enqueue(job_id, request, accepted_ms)
        return self._read_accepted(job_id, request)

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
            if not record.ended and self._take_out(job_id):
                self._in_thread(lambda: self._store.delete(job_id))
        record = self.read(job_id)
        if not record.ended:
            raise JobRunning(f"job {job_id} is running; a running job cannot be stopped yet")
        return record

    def _read_accepted(self, job_id: str, request: JobRequest) -> JobRecord:
        """Accepted is accepted, also where the queue server went away in this moment."""
        try:
            return self.read(job_id)
        except QueueUnavailable:
            return JobRecord(job_id, "queued", request.model_type, datetime.now(UTC), request.request_id)

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
        backlog_ms = _number(self._client.get(ACCEPTED_MS)) - _number(self._client.get(ENDED_MS))
        return max(1.0, backlog_ms / 1000 / max(1, waiting) / self._settings.job_workers)

    def _enqueue(self, job_id: str, request: JobRequest, accepted_ms: float) -> None:
        self._queue.enqueue_call(
            TASK, kwargs={"job_id": job_id, "model_type": request.model_type, "model_mark": request.model_mark,
                          "parameters": request.parameters},
            job_id=job_id, description=f"predict {request.model_type}, request {request.request_id}",
            timeout=self._settings.job_timeout_s, result_ttl=self._settings.result_ttl_s,
            failure_ttl=self._settings.result_ttl_s, retry=Retry(max=RETRIES),
            meta={"model_type": request.model_type, "predicted_ms": request.predicted_ms, "accepted_ms": accepted_ms,
                  "accepted_at": time.time(), "request_id": request.request_id, "tiles": request.tiles})

    def _take_out(self, job_id: str) -> bool:
        """Whether the job was still waiting; then it is canceled, in one step with leaving the queue."""
        job = Job.fetch(job_id, self._client, JSONSerializer)
        with self._client.pipeline() as pipeline:
            while True:
                try:
                    pipeline.watch(self._queue.key)
                    if pipeline.lpos(self._queue.key, job_id) is None:
                        return False
                    pipeline.multi()
                    self._cancel(pipeline, job)
                    pipeline.execute()
                    return True
                except WatchError:
                    continue  # the queue moved meanwhile: look again

    def _cancel(self, pipeline: Pipeline, job: Job) -> None:
        pipeline.lrem(self._queue.key, 1, job.id)
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
            eta_s=self._eta_s(job) if state in ("queued", "processing") else None,
            tiles=job.meta.get("tiles", 1), tiles_done=self._tiles_done(job, state), outcome=outcome)

    def _tiles_done(self, job: Job, state: State) -> int:
        if state == "succeeded":
            return job.meta.get("tiles", 1)
        return int(_number(self._client.hget(job.key, TILES_DONE))) if state == "processing" else 0

    def _position(self, job: Job) -> int:
        """1 is next. A job that a worker just took, or that is being handed back, is next too."""
        position = self._client.lpos(self._queue.key, job.id)
        return 1 if position is None else cast(int, position) + 1

    def _eta_s(self, job: Job) -> float:
        before_ms = job.meta["accepted_ms"] - _number(self._client.get(ENDED_MS))
        left_ms = max(job.meta["predicted_ms"], before_ms / self._settings.job_workers)
        return math.ceil(left_ms) / 1000


def make_queue(client: Redis) -> Queue:
    """The one queue. A worker with several would lose a job when it dies between two steps of RQ's."""
    return Queue(QUEUE, connection=client, serializer=JSONSerializer)


def make_store(client: Redis, settings: Settings) -> ImageStore:
    return FolderStore(settings.spool_dir) if settings.embedded else RedisStore(client)


def make_ended_store(client: Redis, settings: Settings) -> EndedImages:
    """The images of jobs that succeeded, for as long as their results are kept and while there is room."""
    store = FolderStore(settings.ended_dir) if settings.embedded else RedisStore(client, "punnet:ended-image")
    return EndedImages(store, settings.result_ttl_s, int(settings.queue_max_mb * MEGA / ENDED_SHARE))


def mark_ended(pipeline: Pipeline, job: Job) -> None:
    """What belongs to a job's end, in the transaction that ends it: backlog, tombstone, news for those who wait."""
    pipeline.incrbyfloat(ENDED_MS, job.meta["predicted_ms"])
    pipeline.set(TOMBSTONE + job.id, b"", ex=(job.result_ttl or 0) + TOMBSTONE_S)
    announce(pipeline, job.id)


def note_progress(client: Redis, job_id: str, tiles_done: int) -> None:
    """How far a running job is, for its document. A queue server that is away just now does not hinder the job."""
    try:
        client.hset(Job.key_for(job_id), TILES_DONE, tiles_done)
    except RedisError as error:
        log.warning("progress of job %s not noted: %s", job_id, error)


def announce(client: Redis | Pipeline, job_id: str) -> None:
    """Tell those who wait that something happened to the job."""
    client.publish(CHANNEL + job_id, b"")


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
