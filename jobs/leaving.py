"""A job that a machine cannot run is left to the others; one that no machine came for ends."""

from redis.client import Pipeline
from rq import Queue
from rq.job import Job

from jobs.clock import server_time_s
from jobs.deferral import defer, overdue
from jobs.events import announce
from jobs.execution import write_end
from jobs.job import DEADLINE, Outcome
from jobs.standing import Move, Say, Standing, change


def leave(queue: Queue, job_id: str) -> bool:
    """Let a job that was just taken from the queue wait for a machine that has its model. Raises RedisError."""
    def move(pipeline: Pipeline, standing: Standing) -> None:
        standing.forget(pipeline)
        defer(pipeline, standing.job, standing.accepted_ms, _until_s(standing.job))
        announce(pipeline, job_id, queue.name)

    def decide(standing: Standing) -> Move | None:
        return move if standing.can_run and not standing.waits and not standing.executions else None

    return change(queue, job_id, decide)


def end_overdue(queue: Queue) -> list[str]:
    """End the jobs that waited for a machine for too long. Returns them. Raises RedisError."""
    def move(pipeline: Pipeline, standing: Standing) -> Say:
        return write_end(pipeline, standing, _outcome(standing.job))

    def decide(standing: Standing) -> Move | None:
        return move if standing.can_run and standing.job.is_deferred and not standing.executions else None

    return [job_id for job_id in overdue(queue, server_time_s(queue.connection)) if change(queue, job_id, decide)]


def _until_s(job: Job) -> float:
    """Until its caller's deadline, or else for as long as a result would be kept."""
    deadline_at = job.kwargs["deadline_at"]
    return job.meta["accepted_at"] + (job.result_ttl or 0) if deadline_at is None else deadline_at


def _outcome(job: Job) -> Outcome:
    if job.kwargs["deadline_at"] is not None:
        return Outcome(kind=DEADLINE, detail="it had not begun when its time was over")
    return Outcome(kind="ModelNotFound", detail=(
        f"no worker machine that serves model '{job.meta['model_type']}' came within {job.result_ttl} s"))
