"""What becomes of a job that its worker does not end: back to the head of the queue, or an end. Once, whoever else
tries."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from redis.client import Pipeline
from redis.exceptions import WatchError
from rq import Queue
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from jobs.ending import announce, mark_ended
from jobs.outcome import DEADLINE, WORKER_LOST, Outcome

# A picture that kills its worker each time is not given to a sixth.
MAX_DEATHS = 5
DEATHS = "punnet_deaths"  # a field of RQ's job hash
log = logging.getLogger(__name__)


def put_back(queue: Queue, job_id: str, execution_id: str | None, blame: bool) -> None:
    """Return a job that nobody runs any more to the head of the queue.

    Args:
        queue: the queue it came from.
        job_id: the job.
        execution_id: the dead worker's hold on it; None where it had none yet.
        blame: count the death against the job; after `MAX_DEATHS` it fails.
    """
    _settle(queue, job_id, execution_id, lambda pipeline, job, deaths: _requeue(pipeline, queue, job, deaths), blame)


def end(queue: Queue, job_id: str, execution_id: str, outcome: Outcome) -> None:
    """End a running job with an outcome that its worker can no longer give."""
    _settle(queue, job_id, execution_id, lambda pipeline, job, deaths: _finish(pipeline, job, outcome), blame=False)


def miss(pipeline: Pipeline, job: Job) -> None:
    """End a job that its caller's deadline found waiting."""
    _finish(pipeline, job, Outcome(kind=DEADLINE, detail="it had not begun when its time was over"))


def _settle(queue: Queue, job_id: str, execution_id: str | None,
            move: Callable[[Pipeline, Job, int], None], blame: bool) -> None:
    with queue.connection.pipeline() as pipeline:
        while True:
            try:
                if _still_held(pipeline, queue, job_id, execution_id):
                    _release(pipeline, queue, job_id, execution_id, move, blame)
                return
            except WatchError:
                continue  # its worker was alive after all, or another pool is at it: look again


def _still_held(pipeline: Pipeline, queue: Queue, job_id: str, execution_id: str | None) -> bool:
    """Watches where the hold is recorded, and whether it still is."""
    registry, intermediate = queue.started_job_registry.key, queue.intermediate_queue_key
    if execution_id is None:
        pipeline.watch(intermediate)
        return pipeline.lpos(intermediate, job_id) is not None
    pipeline.watch(registry)
    return pipeline.zscore(registry, f"{job_id}:{execution_id}") is not None


def _release(pipeline: Pipeline, queue: Queue, job_id: str, execution_id: str | None,
             move: Callable[[Pipeline, Job, int], None], blame: bool) -> None:
    exists = bool(pipeline.exists(Job.key_for(job_id)))
    job = Job.fetch(job_id, queue.connection, JSONSerializer) if exists else None
    deaths = int(pipeline.hget(Job.key_for(job_id), DEATHS) or 0) + blame
    pipeline.multi()
    pipeline.lrem(queue.intermediate_queue_key, 0, job_id)
    if execution_id is not None:
        execution = Execution(execution_id, job_id, queue.connection)
        pipeline.zrem(queue.started_job_registry.key, execution.composite_key)
        pipeline.delete(execution.key)
    if job is not None:
        move(pipeline, job, deaths)
    pipeline.execute()


def _requeue(pipeline: Pipeline, queue: Queue, job: Job, deaths: int) -> None:
    pipeline.hset(job.key, DEATHS, deaths)
    if deaths >= MAX_DEATHS:
        _finish(pipeline, job, Outcome(kind=WORKER_LOST, detail=f"{deaths} workers died while they ran the job"))
        return
    log.warning("job %s is put back in the queue", job.id)
    job.set_status(JobStatus.QUEUED, pipeline=pipeline)
    queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
    announce(pipeline, job.id)


def _finish(pipeline: Pipeline, job: Job, outcome: Outcome) -> None:
    log.error("job %s fails: %s", job.id, outcome.detail)
    ttl = job.result_ttl or 0
    job.ended_at = datetime.now(UTC)
    job._result = outcome.to_json()
    job._handle_success(ttl, pipeline=pipeline)
    job.cleanup(ttl, pipeline=pipeline, remove_from_queue=False)
    mark_ended(pipeline, job)
