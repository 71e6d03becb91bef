"""How joined jobs go on: they end with what was computed for one of them, or one of them is computed anew.

A joined job that waits is in RQ's registry of deferred jobs. Whoever computed ends it; where the computation came to
nothing, a pool finds the job at its next look and returns it to the queue.
"""

import logging
from collections.abc import Callable, Sequence
from typing import cast

from redis.client import Pipeline
from rq import Queue
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from jobs import computation
from jobs.deferral import deferred_key
from jobs.errors import JobExpired
from jobs.events import announce
from jobs.job import Outcome
from jobs.leaving import end_overdue
from jobs.standing import ENDED, Move, Standing, change

log = logging.getLogger(__name__)


def share(job: Job, outcome: Outcome, end_one: Callable[[str], None]) -> None:
    """End all other jobs that ask for the same, each by `end_one`. To be called before the job's own end, so that
    nobody is given the computation in between. Where there is no room for their results, they are computed later.

    Raises:
        RedisError: some may have ended, others not; try again.
    """
    shared: set[str] = set()
    while outcome.kind in computation.DECIDED and (others := computation.others_asking(job) - shared):
        try:
            for job_id in others:
                end_one(job_id)
        except (OSError, JobExpired) as error:
            log.warning("jobs that are joined with job %s are computed themselves: %s", job.id, error)
            return
        shared |= others


def is_wanted(queue: Queue, execution: Execution) -> bool:
    """Whether an execution is to go on: its job was not given to another, and has not ended, or another job asks for
    the same."""
    with queue.connection.pipeline(transaction=False) as pipeline:
        pipeline.zscore(queue.started_job_registry.key, execution.composite_key)
        pipeline.hget(Job.key_for(execution.job_id), "status")
        heard, status = pipeline.execute()
    has_ended = status is not None and JobStatus(status.decode()) in ENDED
    return heard is not None and (not has_ended or bool(computation.others_asking(execution.job)))


def resume(queue: Queue, forget: Callable[[str], None]) -> None:
    """Return a joined job to the queue where nobody computes what it asks for any more, and end those whose callers'
    time is over; `forget` is told of these. To be called each second.

    Raises:
        RedisError.
    """
    joined = _joined(queue)
    for job_id in end_overdue(queue) if joined else ():
        forget(job_id)
    for asked, job in {computation.of(job): job for job in joined}.items():  # one of each is enough
        if not computation.is_computed(queue, asked):
            change(queue, job.id, lambda standing: _return(queue) if _is_deferred(standing) else None)


def _joined(queue: Queue) -> Sequence[Job]:
    """The joined jobs that wait, except for those that a tool has deleted."""
    ids = sorted(cast(set[bytes], queue.connection.smembers(computation.joined_key(queue.name))))
    if not ids:
        return ()
    jobs = Job.fetch_many([job_id.decode() for job_id in ids], queue.connection, JSONSerializer)
    if lost := [job_id for job_id, job in zip(ids, jobs, strict=True) if job is None]:
        queue.connection.srem(computation.joined_key(queue.name), *lost)
        queue.connection.zrem(deferred_key(queue.name), *lost)
    return [job for job in jobs if job is not None]


def _return(queue: Queue) -> Move:
    """To the head of the queue: the job has waited for its turn already."""
    def move(pipeline: Pipeline, standing: Standing) -> None:
        log.info("job %s is computed itself: what it was joined with came to no end", standing.job.id)
        standing.forget(pipeline)
        standing.job.set_status(JobStatus.QUEUED, pipeline=pipeline)
        queue.push_job_id(standing.job.id, pipeline=pipeline, at_front=True)
        announce(pipeline, standing.job.id, queue.name)

    return move


def _is_deferred(standing: Standing) -> bool:
    return standing.exists and standing.job.get_status(refresh=False) == JobStatus.DEFERRED
