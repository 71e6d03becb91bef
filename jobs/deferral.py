"""Jobs that wait for a machine that has their model.

A worker that takes a job which its machine cannot run leaves it here, in the order in which jobs were accepted, and
nobody takes it but a machine that can: so it cannot go round in circles, and it is not overtaken by what came later.
RQ's tools show such a job as deferred.
"""

from collections.abc import Iterable
from typing import cast

from redis.client import Pipeline
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import DeferredJobRegistry

from jobs.keys import key

# A set of labels, a model's name and fingerprint each, and for each of them the jobs that wait for it.
AWAITED, AWAITING = "awaited", "awaiting:"
# KEYS: the workers' list of jobs that were just taken, RQ's registry of deferred jobs, the set of labels, and the jobs
# of each label of ARGV. The first of all jobs is taken, as RQ takes one from its queue.
TAKE = """
local first, place, from
for number, label in ipairs(ARGV) do
  local found = redis.call('ZRANGE', KEYS[3 + number], 0, 0, 'WITHSCORES')
  if not found[1] then redis.call('SREM', KEYS[3], label)
  elseif not first or tonumber(found[2]) < place then
    first, place, from = found[1], tonumber(found[2]), KEYS[3 + number]
  end
end
if first then
  redis.call('ZREM', from, first)
  redis.call('ZREM', KEYS[2], first)
  redis.call('RPUSH', KEYS[1], first)
end
return first
"""


def label_of(job: Job) -> str:
    return f"{job.meta.get('model_type', '')} {job.meta.get('fingerprint', '')}"


def defer(pipeline: Pipeline, job: Job, accepted_ms: float, until_s: float) -> None:
    """Let a job wait for its machine, until a time of the queue server's clock. What was `accepted` before it tells its
    place."""
    job.set_status(JobStatus.DEFERRED, pipeline)
    pipeline.zadd(_registry(job), {job.id: until_s})
    pipeline.sadd(key(job.origin, AWAITED), label_of(job))
    pipeline.zadd(key(job.origin, AWAITING + label_of(job)), {job.id: accepted_ms})


def forget_deferral(pipeline: Pipeline, job: Job) -> None:
    """The job waits here no more; nothing where it did not."""
    if job.get_status(refresh=False) == JobStatus.DEFERRED:
        pipeline.zrem(_registry(job), job.id)
        pipeline.zrem(key(job.origin, AWAITING + label_of(job)), job.id)


def awaited(queue: Queue) -> list[tuple[str, str]]:
    """Names and fingerprints of the models that jobs wait for. Raises RedisError."""
    labels = cast(set[bytes], queue.connection.smembers(key(queue.name, AWAITED)))
    return [(name, fingerprint) for name, _, fingerprint in (label.decode().rpartition(" ") for label in labels)]


def take(queue: Queue, models: Iterable[tuple[str, str]]) -> str | None:
    """The job that waits for one of these models longest, taken as RQ takes one from its queue. Raises RedisError."""
    labels = [" ".join(model) for model in models]
    keys = [queue.intermediate_queue_key, DeferredJobRegistry(queue=queue).key, key(queue.name, AWAITED),
            *(key(queue.name, AWAITING + label) for label in labels)]
    taken = cast(bytes | None, queue.connection.eval(TAKE, len(keys), *keys, *labels) if labels else None)
    return None if taken is None else taken.decode()


def look_up_place(pipeline: Pipeline, job: Job) -> None:
    """How many jobs wait for the same model before this one."""
    pipeline.zrank(key(job.origin, AWAITING + label_of(job)), job.id)


def overdue(queue: Queue, now_s: float) -> list[str]:
    """The jobs that waited for too long. Raises RedisError."""
    found = queue.connection.zrangebyscore(DeferredJobRegistry(queue=queue).key, "-inf", now_s)
    return [job_id.decode() for job_id in cast(list[bytes], found)]


def deferred_key(queue_name: str) -> str:
    return DeferredJobRegistry(queue_name).key


def _registry(job: Job) -> str:
    return deferred_key(job.origin)
