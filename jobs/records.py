"""What a job's record says, read from the queue server."""

import json
from typing import cast

from rq import Queue
from rq.job import Job, JobStatus

from jobs.backlog import Backlog
from jobs.clock import moment, server_time_s
from jobs.errors import JobExpired, JobNotFound
from jobs.execution import OUTCOME, TILES_DONE
from jobs.job import WORKER_LOST, JobRecord, Outcome, State
from jobs.keys import key
from jobs.lifetimes import RESULT

STATES: dict[JobStatus, State] = {JobStatus.STARTED: "processing", JobStatus.FINISHED: "succeeded",
                                  JobStatus.FAILED: "failed", JobStatus.STOPPED: "failed",
                                  JobStatus.CANCELED: "canceled"}


class Records:
    """Of the jobs of one queue."""

    def __init__(self, queue: Queue, backlog: Backlog) -> None:
        self._queue, self._client, self._backlog = queue, queue.connection, backlog

    def record(self, job: Job, fields: dict[bytes, bytes]) -> JobRecord:
        """The job as its hash's fields tell it. Raises JobExpired, RedisError."""
        state, tiles = STATES.get(job.get_status(refresh=False), "queued"), job.meta["tiles"]
        tiles_done = {"processing": int(fields.get(TILES_DONE.encode(), 0)), "succeeded": tiles}.get(state, 0)
        return JobRecord(
            job.id, state, job.meta["model_type"], request_id=job.meta["request_id"],
            created_at=moment(job.meta["accepted_at"]),
            started_at=None if state == "queued" else job.started_at,
            completed_at=job.ended_at if state in ("succeeded", "failed", "canceled") else None,
            queue_position=self._position(job) if state == "queued" else None,
            eta_s=self._eta_s(job, state) if state in ("queued", "processing") else None,
            tiles=tiles, tiles_done=tiles_done, outcome=_outcome(state, fields),
            result=self._result(job.id) if state == "succeeded" else b"")

    def _result(self, job_id: str) -> bytes:
        result = cast(bytes | None, self._client.get(key(self._queue.name, RESULT + job_id)))
        if result is None:  # a queue server short of memory may have dropped it
            raise gone(job_id, known=True)
        return result

    def _position(self, job: Job) -> int:
        """1 is next. A job that a worker just took, or that is being requeued, is next too."""
        position = self._client.lpos(self._queue.key, job.id)
        return 1 if position is None else cast(int, position) + 1

    def _eta_s(self, job: Job, state: State) -> float:
        ran_ms = None
        if state == "processing" and job.started_at is not None:
            ran_ms = max(0.0, (server_time_s(self._client) - job.started_at.timestamp()) * 1000)  # it may be set back
        return self._backlog.seconds_left(job.meta["predicted_ms"], job.meta["accepted_ms"], ran_ms)


def gone(job_id: str, known: bool) -> JobNotFound | JobExpired:
    return JobExpired(f"the result of job {job_id} has expired") if known else JobNotFound(f"no job {job_id}")


def _outcome(state: State, fields: dict[bytes, bytes]) -> Outcome | None:
    """What came of a job that succeeded or failed; of one that RQ's own tools gave up, why."""
    if state not in ("succeeded", "failed"):
        return None
    if (found := fields.get(OUTCOME.encode())) is not None:
        return Outcome.from_json(json.loads(found))
    return Outcome(kind=WORKER_LOST, detail="the job failed several times for reasons of the machinery; "
                                            "the worker's log tells them, then post the image again")
