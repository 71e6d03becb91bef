"""A computation: what is computed for a job, named by a digest of the image's bytes, the model's fingerprint and the
parameters. Jobs that ask for the same computation are joined: one of them is run, and all end with what came of it.

The queue server knows of each computation who asks for it, a set of jobs that have not ended, and which execution
computes it. A job that a worker takes meanwhile is deferred, in RQ's own word for a job that waits for another.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.executions import Execution
from rq.job import Job, JobStatus

from jobs.deferral import deferred_key
from jobs.keys import key

ASKING, COMPUTING, JOINED = "asking:", "computing:", "joined"
KEPT_S = 7 * 24 * 3600  # far beyond any queue; only for what RQ's own tools delete
# What the image, the model and the parameters alone decide, so that every other execution would come to the same end.
DECIDED = ("", "UnsupportedImage", "TooManyPixels", "BadParameter", "PoisonImage")


def digest(fingerprint: str, parameters: Mapping[str, Any], image_digest: str) -> str:
    """The name of a computation."""
    return hashlib.sha256(json.dumps([fingerprint, parameters, image_digest], sort_keys=True).encode()).hexdigest()


def of(job: Job) -> str:
    """What a job asks for; "" where nobody can tell, so that it is joined with none."""
    return job.meta.get("computation", "")


def computing_key(queue: Queue, computation: str) -> str:
    """Names the execution, as "job:execution"."""
    return key(queue.name, COMPUTING + computation)


def asking_key(job: Job) -> str:
    """Names the jobs that ask for what the job asks for; a key that nothing is joined by where nobody can tell."""
    return key(job.origin, ASKING + of(job))


def compute(pipeline: Pipeline, execution: Execution) -> None:
    """From now on this execution computes what its job asks for."""
    if computation := of(execution.job):
        name = key(execution.job.origin, COMPUTING + computation)
        pipeline.set(name, execution.composite_key, ex=KEPT_S)


def compute_no_more(pipeline: Pipeline, job: Job) -> None:
    """An execution of the job is over. Of two at a time, which is rare, the other is not joined any more."""
    if computation := of(job):
        pipeline.delete(key(job.origin, COMPUTING + computation))


def ask_no_more(pipeline: Pipeline, job: Job) -> None:
    """A job has ended."""
    pipeline.srem(asking_key(job), job.id)


def others_asking(job: Job) -> set[str]:
    """The other jobs that ask for the same and have not ended."""
    asking = cast(set[bytes], job.connection.smembers(asking_key(job))) if of(job) else set()
    return {job_id.decode() for job_id in asking} - {job.id}


def is_computed(queue: Queue, computation: str) -> bool:
    """Whether an execution that has not been given up computes it."""
    client: Redis = queue.connection
    entry = cast(bytes | None, client.get(computing_key(queue, computation))) if computation else None
    return entry is not None and client.zscore(queue.started_job_registry.key, entry.decode()) is not None


def join(pipeline: Pipeline, job: Job) -> None:
    """Keep a job out of the queue for as long as another's execution computes the same, or until its caller's
    deadline."""
    job.set_status(JobStatus.DEFERRED, pipeline=pipeline)
    until_s = job.kwargs["deadline_at"]
    pipeline.zadd(deferred_key(job.origin), {job.id: "+inf" if until_s is None else until_s})
    pipeline.sadd(joined_key(job.origin), job.id)


def forget_joining(pipeline: Pipeline, job: Job) -> None:
    """The job waits for another no more; nothing where it did not."""
    if job.get_status(refresh=False) == JobStatus.DEFERRED:
        pipeline.srem(joined_key(job.origin), job.id)


def joined_key(queue_name: str) -> str:
    """Names the jobs that wait for what is computed for another."""
    return key(queue_name, JOINED)
