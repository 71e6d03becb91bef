"""Jobs in the queue server -> records: where a job stands, and what came of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from jobs import tombstones
from jobs.backlog import Backlog, Forecast
from jobs.clock import moment
from jobs.connection import unavailable
from jobs.deferral import look_up_place
from jobs.errors import JobExpired, JobNotFound
from jobs.events import CHANGES
from jobs.execution import TILES_DONE, owner_of
from jobs.job import GIVEN_UP, WORKER_LOST, JobRecord, Outcome, State
from jobs.keys import key
from jobs.lifetimes import RESULT, clock_s
from jobs.results import Place
from jobs.standing import ACCEPTED, OUTCOME
from jobs.webhooks import ENDED_JOB, webhook_of

STATES: dict[JobStatus, State] = {JobStatus.STARTED: "processing", JobStatus.FINISHED: "succeeded",
                                  JobStatus.FAILED: "failed", JobStatus.STOPPED: "failed",
                                  JobStatus.CANCELED: "canceled"}
Fields = Mapping[bytes, bytes]
MAX_TOLD_BYTES = 4_000_000  # of a result: documents of hundreds of jobs may be on their way at a time


class Records:
    """Reads jobs: one with its result, or many without theirs, which takes no more round trips than one does.
    `stored_result` reads what results.py put into the store."""

    def __init__(self, queue: Queue, backlog: Backlog, stored_result: Callable[[str, Place], bytes]) -> None:
        self._client, self._queue, self._backlog = queue.connection, queue, backlog
        self._stored_result = stored_result

    def read(self, job_id: str, owner: str = "") -> JobRecord:
        """A job with its result. For another than its owner there is no such job.

        Raises:
            JobNotFound, JobExpired, QueueUnavailable.
        """
        [record] = self.read_many([job_id])
        if record is None:
            raise self.missing(job_id, owner)
        if record.owner != owner:
            raise gone(job_id, known=False)
        return self.with_result(record)

    def read_many(self, ids: Sequence[str]) -> list[JobRecord | None]:
        """Where jobs stand, without their results; None for a job that is not there.

        Raises:
            QueueUnavailable.
        """
        with unavailable():
            found = [self._restored(job_id, fields) for job_id, fields in zip(ids, self._fields(ids), strict=True)]
            records = [None if one is None else _record(*one) for one in found]
            return self._estimated(records, {one[0].id: one for one in found if one})

    def with_result(self, record: JobRecord) -> JobRecord:
        """The record of a job that succeeded with its result; any other as it is.

        Raises:
            JobExpired, QueueUnavailable.
        """
        if record.state != "succeeded" or record.result:
            return record
        with unavailable():
            result = cast(bytes | None, self._client.get(key(self._queue.name, RESULT + record.id)))
        if result is None:  # a queue server short of memory may have dropped it
            raise gone(record.id, known=True)
        return replace(record, result=self._whole(record.id, result))

    def to_tell(self, job_id: str) -> JobRecord:
        """A job for who tells of it: once it has ended as it was at its end, also after its time. Its result is
        missing then, and where it is too large to be sent around.

        Raises:
            JobNotFound, QueueUnavailable.
        """
        ended, result = (key(self._queue.name, name + job_id) for name in (ENDED_JOB, RESULT))
        with unavailable():
            found = self._restored(job_id, cast(Fields, self._client.hgetall(ended)))
            record = _record(*found) if found else self.read_many([job_id])[0]
            if record is None:
                raise gone(job_id, known=False)
            if record.state != "succeeded" or self._client.strlen(result) > MAX_TOLD_BYTES:
                return record
            written = cast(bytes | None, self._client.get(result)) or b""
        place = Place.read(written)
        return record if place and place.size_bytes > MAX_TOLD_BYTES else self._told(record, written)

    def _told(self, record: JobRecord, written: bytes) -> JobRecord:
        try:
            return replace(record, result=self._whole(record.id, written))
        except JobExpired:  # the store was emptied
            return record

    def _whole(self, job_id: str, written: bytes) -> bytes:
        """A result as it was written, or as it lies in the store. Raises JobExpired, QueueUnavailable."""
        place = Place.read(written)
        if place is None:
            return written
        with unavailable():
            return self._stored_result(job_id, place)

    def missing(self, job_id: str, owner: str) -> JobNotFound | JobExpired:
        """Why a job is not there, as far as its owner, or another, may know. Raises QueueUnavailable."""
        with unavailable():
            known = tombstones.has(self._queue, job_id, owner, clock_s(self._client, self._queue.name))
        return gone(job_id, known)

    def _fields(self, ids: Sequence[str]) -> list[Fields]:
        with self._client.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hgetall(Job.key_for(job_id))
            return pipeline.execute()

    def _restored(self, job_id: str, fields: Fields) -> tuple[Job, Fields] | None:
        try:
            job = Job(job_id, self._client, JSONSerializer)
            job.restore(fields)
        except (NoSuchJobError, ValueError):
            return None
        return (job, fields) if job.origin == self._queue.name else None  # another installation's on this server

    def _estimated(self, records: list[JobRecord | None],
                   found: Mapping[str, tuple[Job, Fields]]) -> list[JobRecord | None]:
        """The records, those of jobs that have not ended with their place in the queue and the time until their end."""
        open_ids = [record.id for record in records if record and not record.ended]
        if not open_ids:
            return records
        jobs = [found[job_id][0] for job_id in open_ids]
        positions, forecast = self._positions(jobs), self._backlog.forecast()
        missing = {job.id: self._missing(job) for job in jobs}
        return [_estimated(replace(record, waiting_for=missing[record.id]), *found[record.id], positions[record.id],
                           forecast) if record and not record.ended else record for record in records]

    def _positions(self, jobs: Sequence[Job]) -> dict[str, int]:
        """1 is next. A job that a worker just took, or that is being requeued, is next too."""
        with self._client.pipeline(transaction=False) as pipeline:
            for job in jobs:
                if job.is_deferred:
                    look_up_place(pipeline, job)
                else:
                    pipeline.lpos(self._queue.key, job.id)
            return {job.id: (place or 0) + 1 for job, place in zip(jobs, pipeline.execute(), strict=True)}

    def _missing(self, job: Job) -> str:
        if STATES.get(job.get_status(refresh=False), "queued") != "queued":
            return ""
        return self._backlog.machines.missing(job.meta["model_type"], job.meta["fingerprint"])


def gone(job_id: str, known: bool) -> JobNotFound | JobExpired:
    """Why a job cannot be read: it was there once, as far as the caller may know, or it never was."""
    return JobExpired(f"the result of job {job_id} has expired") if known else JobNotFound(f"no job {job_id}")


def _record(job: Job, fields: Fields) -> JobRecord:
    state, tiles = STATES.get(job.get_status(refresh=False), "queued"), job.meta["tiles"]
    tiles_done = {"processing": _number(fields, TILES_DONE), "succeeded": tiles}.get(state, 0)
    return JobRecord(
        job.id, state, job.meta["model_type"], owner=owner_of(job), request_id=job.meta["request_id"],
        created_at=moment(job.meta["accepted_at"]),
        started_at=None if state == "queued" else job.started_at,
        completed_at=job.ended_at if state in ("succeeded", "failed", "canceled") else None,
        tiles=tiles, tiles_done=tiles_done, changes=_number(fields, CHANGES), outcome=_outcome(state, fields),
        has_webhook=webhook_of(job) is not None)


def _estimated(record: JobRecord, job: Job, fields: Fields, position: int, forecast: Forecast) -> JobRecord:
    ran_ms, accepted_ms = None, float(fields.get(ACCEPTED.encode(), 0))
    if record.state == "processing" and record.started_at is not None:
        ran_ms = max(0.0, (forecast.time_s - record.started_at.timestamp()) * 1000)  # the clock may be set back
    return replace(record, queue_position=position if record.state == "queued" else None,
                   eta_s=forecast.seconds_left(job.meta["predicted_ms"], accepted_ms, ran_ms))


def _number(fields: Fields, name: str) -> int:
    return int(fields.get(name.encode(), 0))


def _outcome(state: State, fields: Fields) -> Outcome | None:
    """What came of a job that succeeded or failed; of one that RQ's own tools gave up, why."""
    if state not in ("succeeded", "failed"):
        return None
    if (found := fields.get(OUTCOME.encode())) is not None:
        return Outcome.from_json(json.loads(found))
    return Outcome(kind=WORKER_LOST, detail=GIVEN_UP)
