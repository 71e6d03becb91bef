"""How long ended jobs can be read, by a clock of our own.

The queue server tells time by its machine's clock. When that jumps ahead, all that is to expire by then is gone at
once. So jobs are deleted here, by a clock of our own: a number in the queue server that the pools of workers move on.
The server's own expiry comes a day later, for what no pool lives to delete.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import BaseRegistry, CanceledJobRegistry
from rq.results import Result

from jobs.index import forget_accepted
from jobs.keys import key

RESULT = "result:"
# Holds the job's owner for a day after its time, so that to the owner its id is told from one that never was.
TOMBSTONE = "known:"
TOMBSTONE_S = 24 * 3600
SPARE_S = 24 * 3600  # before the queue server deletes what a pool should have deleted
CLOCK, ENDED = "clock", "ended"  # seconds; and the time of it when each ended job is over
TICK_S = 1.0  # between two movements of the clock, about: a job is not to be over before its time
RUN_AGAIN = tuple(status.value.encode() for status in (JobStatus.QUEUED, JobStatus.STARTED))
AT_ONCE = 1000  # jobs that are forgotten in one transaction
LEAST_GAIN_BYTES = 1_000_000
SHED_SHARE = 0.1


def note_ended(pipeline: Pipeline, job: Job, owner: str, until_s: float, result: bytes | None) -> None:
    """Write down, in the transaction that ends a job, until when of our clock it can be read."""
    spare_ttl_s = (job.result_ttl or 1) + SPARE_S
    if result is not None:
        pipeline.set(key(job.origin, RESULT + job.id), result, ex=spare_ttl_s)
    pipeline.zadd(key(job.origin, ENDED), {job.id: until_s + TICK_S})
    pipeline.set(key(job.origin, TOMBSTONE + job.id), owner, ex=spare_ttl_s + TOMBSTONE_S)
    pipeline.expire(job.key, spare_ttl_s)


def clock_s(client: Redis | Pipeline, queue_name: str) -> float:
    """What the clock shows."""
    return float(cast(bytes | None, client.get(key(queue_name, CLOCK))) or 0)


class Lifetimes:
    """One pool's part in them: it moves the clock on, and deletes what is over. `forget` is told of each job."""

    def __init__(self, queue: Queue, forget: Callable[[str], None],
                 now: Callable[[], float] = time.monotonic) -> None:
        self._client, self._queue, self._forget, self._now = queue.connection, queue, forget, now
        self._ended_key = key(queue.name, ENDED)
        self._shown, self._looked_at = 0.0, now()

    def look(self) -> None:
        """To be called each second. Raises RedisError."""
        now = self._now()
        if self._client.zcard(self._ended_key):  # else the clock may stand still: nobody's time goes by
            self._move_on(now - self._looked_at)
            self._forget_over()
        self._looked_at = now

    def shorten(self, room_bytes: int) -> bool:
        """Let results go before their time, the oldest first, until the rest can be written into so much room beside
        the server's file, and have the file written anew. Whether that is worth it. Raises RedisError."""
        file = self._client.info("persistence")
        if file.get("aof_rewrite_in_progress"):
            return True
        going, kept_bytes = self._beyond(room_bytes)
        if file.get("aof_current_size", 0) < kept_bytes + LEAST_GAIN_BYTES:
            return False
        self._forget_jobs(going)
        self._client.bgrewriteaof()
        return True

    def shed(self) -> int:
        """Let a tenth of the ended jobs go before their time, the oldest first; how many. Raises RedisError."""
        number = min(AT_ONCE, math.ceil(self._client.zcard(self._ended_key) * SHED_SHARE))
        oldest = cast(list[bytes], self._client.zrange(self._ended_key, 0, number - 1)) if number else []
        self._forget_ended([job_id.decode() for job_id in oldest])
        return number

    def _move_on(self, passed_s: float) -> None:
        """By what passed since the last look, unless another pool moves it: then its clock is taken over."""
        shown = clock_s(self._client, self._queue.name)
        if shown == self._shown:
            self._client.set(key(self._queue.name, CLOCK), shown + passed_s)
            shown += passed_s
        self._shown = shown

    def _forget_over(self) -> None:
        over = cast(list[bytes], self._client.zrangebyscore(self._ended_key, "-inf", self._shown, 0, AT_ONCE))
        self._forget_ended([job_id.decode() for job_id in over])

    def _forget_ended(self, ids: Sequence[str]) -> None:
        """A job that RQ's tools requeued has its time once it has ended again."""
        with self._client.pipeline() as pipeline:
            for job_id in ids:
                pipeline.hget(Job.key_for(job_id), "status")
            states = pipeline.execute()
        run_again = {job_id for job_id, state in zip(ids, states, strict=True) if state in RUN_AGAIN}
        if run_again:
            self._client.zrem(self._ended_key, *run_again)
        self._forget_jobs([job_id for job_id in ids if job_id not in run_again])

    def _beyond(self, room_bytes: int) -> tuple[list[str], int]:
        """The oldest ended jobs, without which the results of the others fit; and what those have together."""
        ids = [job_id.decode() for job_id in cast(list[bytes], self._client.zrange(self._ended_key, 0, -1))]
        with self._client.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.strlen(key(self._queue.name, RESULT + job_id))
            sizes = pipeline.execute()
        kept_bytes, first = 0, len(ids)
        while first and kept_bytes + sizes[first - 1] <= room_bytes:
            first -= 1
            kept_bytes += sizes[first]
        return ids[:first], kept_bytes

    def _forget_jobs(self, ids: Sequence[str]) -> None:
        owners = self._owners(ids)
        with self._client.pipeline() as pipeline:
            for job_id, owner in zip(ids, owners, strict=True):
                self._forget_job(pipeline, job_id)
                forget_accepted(pipeline, self._queue.name, owner, job_id)
            pipeline.execute()
        for job_id in ids:
            self._forget(job_id)

    def _owners(self, ids: Sequence[str]) -> list[str]:
        marks = [key(self._queue.name, TOMBSTONE + job_id) for job_id in ids]
        owners = cast(list[bytes | None], self._client.mget(marks)) if marks else []
        return [(owner or b"").decode() for owner in owners]

    def _forget_job(self, pipeline: Pipeline, job_id: str) -> None:
        pipeline.delete(Job.key_for(job_id), Result.get_key(job_id), key(self._queue.name, RESULT + job_id))
        pipeline.zrem(self._ended_key, job_id)
        for registry in self._registries():
            pipeline.zrem(registry.key, job_id)
        pipeline.expire(key(self._queue.name, TOMBSTONE + job_id), TOMBSTONE_S)

    def _registries(self) -> tuple[BaseRegistry, ...]:
        return (self._queue.finished_job_registry, self._queue.failed_job_registry,
                CanceledJobRegistry(queue=self._queue))
