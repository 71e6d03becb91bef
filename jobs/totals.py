"""Numbers of the queue, the same whichever machine is asked. What is counted over time is counted in the transactions
that change jobs: so it is counted once, whoever dies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Worker
from rq.job import Job
from rq.registry import CanceledJobRegistry

from jobs.backlog import Backlog
from jobs.deferral import deferred_key
from jobs.errors import QueueUnavailable
from jobs.job import State
from jobs.keys import key
from jobs.turns import COUNTS, make_queue
from settings import Settings

ENDED, REQUEUED = "ended-jobs", "requeued-jobs"  # a hash by state and model, and a number
DELIVERIES = "webhook-deliveries"  # a hash by result
Delivered = Literal["told", "failed", "given-up", "refused"]
# KEYS: the queue, which is not in this order. ARGV: how the keys of jobs begin. Seconds since the oldest was accepted.
OLDEST = """
local now, oldest = redis.call('TIME'), false
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, 9999)) do
  local accepted = string.match(redis.call('HGET', ARGV[1] .. id, 'meta') or '', '"accepted_at": *([%d.]+)')
  if accepted then oldest = math.min(oldest or tonumber(accepted), tonumber(accepted)) end
end
return string.format('%.6f', oldest and math.max(0, now[1] + now[2] / 1000000 - oldest) or 0)
"""


@dataclass(frozen=True)
class Totals:
    """`jobs` are those that can be read, by state; `ended` are all that ever ended, by model and state. `oldest_s` is
    how long the oldest waits, `predicted_s` what a worker will take for all that wait or run. `deliveries` are the
    tries to tell webhooks' receivers, by result."""

    jobs: Mapping[State, int]
    ended: Mapping[tuple[str, str], float]
    requeued: float
    deliveries: Mapping[Delivered, float]
    oldest_s: float
    predicted_s: float
    image_bytes: float
    workers: int


def count_end(pipeline: Pipeline, queue_name: str, state: State, model_type: str) -> None:
    """Count a job that ends, in the transaction that ends it."""
    pipeline.hincrby(key(queue_name, ENDED), f"{state} {model_type.partition(':')[0]}", 1)


def count_requeue(pipeline: Pipeline, queue_name: str) -> None:
    """Count a job that is requeued, in the transaction that does it."""
    pipeline.incr(key(queue_name, REQUEUED))


class QueueTotals:
    """Looks them up in the queue server."""

    def __init__(self, client: Redis, settings: Settings) -> None:
        self._client, self._queue = client, make_queue(client, settings.queue)
        self._backlog = Backlog(self._queue, settings)

    def look(self) -> Totals:
        """Raises QueueUnavailable."""
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                self._ask(pipeline)
                *counts, ended, requeued, deliveries, oldest, image_bytes = pipeline.execute()
            return Totals(_by_state(counts), _by_model_and_state(ended), float(requeued or 0), _by_result(deliveries),
                          float(oldest), self._backlog.ms() / 1000, float(image_bytes or 0),
                          Worker.count(queue=self._queue))
        except RedisError as error:
            raise QueueUnavailable("the queue server does not answer") from error

    def _ask(self, pipeline: Pipeline) -> None:
        queue = self._queue
        pipeline.llen(queue.key)
        pipeline.zcard(deferred_key(queue.name))
        for registry in (queue.started_job_registry, queue.finished_job_registry, queue.failed_job_registry,
                         CanceledJobRegistry(queue=queue)):
            pipeline.zcard(registry.key)
        pipeline.hgetall(key(queue.name, ENDED))
        pipeline.get(key(queue.name, REQUEUED))
        pipeline.hgetall(key(queue.name, DELIVERIES))
        pipeline.eval(OLDEST, 1, queue.key, Job.key_for(""))
        pipeline.hget(key(queue.name, COUNTS), "bytes")


def _by_state(counts: list[int]) -> dict[State, int]:
    in_queue, deferred, *others = counts
    states: tuple[State, ...] = ("queued", "processing", "succeeded", "failed", "canceled")
    return dict(zip(states, (in_queue + deferred, *others), strict=True))


def _by_model_and_state(ended: Mapping[bytes, bytes]) -> dict[tuple[str, str], float]:
    words = ((field.decode().partition(" "), float(count)) for field, count in ended.items())
    return {(model, state): count for (state, _, model), count in words}


def _by_result(deliveries: Mapping[bytes, bytes]) -> dict[Delivered, float]:
    """Also those that there were none of: who watches a number sees its first step only where it was 0 before."""
    results: tuple[Delivered, ...] = get_args(Delivered)
    return {result: float(deliveries.get(result.encode(), 0)) for result in results}
