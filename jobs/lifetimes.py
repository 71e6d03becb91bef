"""How long ended jobs can be read, by a clock of our own.

The queue server tells time by its machine's clock. When that jumps ahead, all that is to expire by then is gone at
once. So jobs are deleted here, by a clock of our own: a number in the queue server that the pools of workers move on.
The server's own expiry comes a day later, for what no pool lives to delete.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import BaseRegistry, CanceledJobRegistry
from rq.results import Result

from jobs import tombstones
from jobs.index import forget_accepted
from jobs.keys import key
from jobs.results import PLACE_BYTES, Place

RESULT = "result:"
SPARE_S = 24 * 3600  # before the queue server deletes what a pool should have deleted
CLOCK, ENDED = "clock", "ended"  # seconds; and the time of it when each ended job is over
TICK_S = 1.0  # between two movements of the clock, about: a job is not to be over before its time
RUN_AGAIN = tuple(status.value.encode() for status in (JobStatus.QUEUED, JobStatus.STARTED))
AT_ONCE = 1000  # jobs that are forgotten in one transaction
LEAST_GAIN_BYTES = 1_000_000
SHED_SHARE = 0.1


def note_ended(pipeline: Pipeline, job: Job, owner: str, until_s: float, result: bytes | None) -> None:
    """Write down, in the transaction that ends a job, until when of our clock it can be read. `result` is what
    results.py wants written: the result, or where it lies."""
    spare_ttl_s = (job.result_ttl or 1) + SPARE_S
    if result is not None:
        pipeline.set(key(job.origin, RESULT + job.id), result, ex=spare_ttl_s)
    pipeline.zadd(key(job.origin, ENDED), {job.id: until_s + TICK_S})
    tombstones.note(pipeline, job, owner, until_s)
    pipeline.expire(job.key, spare_ttl_s)


def clock_s(client: Redis | Pipeline, queue_name: str) -> float:
    """What the clock shows."""
    return float(cast(bytes | None, client.get(key(queue_name, CLOCK))) or 0)


def first_over_s(queue: Queue) -> float:
    """In how many seconds the time of the next job is over; 0 where there is none."""
    first: Any = queue.connection.zrange(key(queue.name, ENDED), 0, 0, withscores=True)
    return max(0.0, first[0][1] - clock_s(queue.connection, queue.name)) if first else 0.0


@dataclass(frozen=True)
class Gone:
    """A job whose time is over, and where its result lies if it is not in the queue server. Without a result nothing of
    the job lies in the store."""

    job_id: str
    owner: str
    succeeded: bool
    place: Place | None


class Lifetimes:
    """One pool's part in them: it moves the clock on, and deletes what is over. `forget` is told of the jobs."""

    def __init__(self, queue: Queue, forget: Callable[[Sequence[Gone]], None],
                 now: Callable[[], float] = time.monotonic) -> None:
        self._client, self._queue, self._forget, self._now = queue.connection, queue, forget, now
        self._ended_key = key(queue.name, ENDED)
        self._shown, self._looked_at, self._turn = 0.0, now(), 0

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
        stored_bytes = sum(gone.place.size_bytes for gone in going if gone.place)
        rewrite = file.get("aof_current_size", 0) >= kept_bytes + LEAST_GAIN_BYTES
        if not rewrite and stored_bytes < LEAST_GAIN_BYTES:
            return False
        self._forget_jobs(going)
        if rewrite:
            self._client.bgrewriteaof()
        return True

    def shed(self) -> int:
        """Let a tenth of the ended jobs go before their time, the oldest first; how many. Raises RedisError."""
        number = min(AT_ONCE, math.ceil(self._client.zcard(self._ended_key) * SHED_SHARE))
        oldest = cast(list[bytes], self._client.zrange(self._ended_key, 0, number - 1)) if number else []
        self._forget_ended([job_id.decode() for job_id in oldest])
        return number

    def _move_on(self, passed_s: float) -> None:
        """By what passed since the last look, unless another pool moves it: then its clock is taken over. Who moves it
        sweeps too."""
        shown = clock_s(self._client, self._queue.name)
        if shown == self._shown:
            self._client.set(key(self._queue.name, CLOCK), shown + passed_s)
            shown += passed_s
            tombstones.sweep(self._queue, self._turn, shown)
            self._turn += 1
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
        self._forget_jobs([gone for gone, _ in self._looked_up([job_id for job_id in ids if job_id not in run_again])])

    def _beyond(self, room_bytes: int) -> tuple[list[Gone], int]:
        """The oldest ended jobs, without which the results of the others fit; and what those take of the server."""
        oldest_first = cast(list[bytes], self._client.zrange(self._ended_key, 0, -1))
        found = self._looked_up([job_id.decode() for job_id in oldest_first])
        left_bytes, kept_bytes, first = room_bytes, 0, len(found)
        while first and (size := _size_bytes(*found[first - 1])) <= left_bytes:
            first, left_bytes, kept_bytes = first - 1, left_bytes - size, kept_bytes + found[first - 1][1]
        return [gone for gone, _ in found[:first]], kept_bytes

    def _looked_up(self, ids: Sequence[str]) -> list[tuple[Gone, int]]:
        """What jobs have left, with the bytes that the queue server has of each result."""
        with self._client.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.getrange(key(self._queue.name, RESULT + job_id), 0, PLACE_BYTES)
                pipeline.strlen(key(self._queue.name, RESULT + job_id))
                pipeline.hget(Job.key_for(job_id), "meta")
            found = pipeline.execute()
        return [(Gone(job_id, _owner(meta), bool(size), Place.read(begin)), size)
                for job_id, begin, size, meta in zip(ids, found[::3], found[1::3], found[2::3], strict=True)]

    def _forget_jobs(self, jobs: Sequence[Gone]) -> None:
        if not jobs:
            return
        with self._client.pipeline() as pipeline:
            for job in jobs:
                self._forget_job(pipeline, job.job_id)
                forget_accepted(pipeline, self._queue.name, job.owner, job.job_id)
            pipeline.execute()
        self._forget(jobs)

    def _forget_job(self, pipeline: Pipeline, job_id: str) -> None:
        pipeline.delete(Job.key_for(job_id), Result.get_key(job_id), key(self._queue.name, RESULT + job_id))
        pipeline.zrem(self._ended_key, job_id)
        for registry in self._registries():
            pipeline.zrem(registry.key, job_id)

    def _registries(self) -> tuple[BaseRegistry, ...]:
        return (self._queue.finished_job_registry, self._queue.failed_job_registry,
                CanceledJobRegistry(queue=self._queue))


def _owner(meta: bytes | None) -> str:
    """Of a job that RQ's tools deleted nobody knows it; the sweep of the index finds such jobs."""
    return json.loads(meta)["owner"] if meta else ""


def _size_bytes(gone: Gone, in_server_bytes: int) -> int:
    return gone.place.size_bytes if gone.place else in_server_bytes
