"""Jobs that were: for a day after a job's time its owner is told 410, and not 404.

A day of busy workers leaves a million of them, so each takes some 20 bytes: ten of a digest of the job and its owner,
and the hour when it is over, in one of 4096 hashes that the queue server packs.
"""

import hashlib
from typing import cast

from redis.client import Pipeline
from rq import Queue
from rq.job import Job

from jobs.keys import key

KNOWN = "known:"
KEPT_H = 24
HOUR_S = 3600
DIGITS = 3  # of the digest, in hexadecimal, that choose the hash


def note(pipeline: Pipeline, job: Job, owner: str, until_s: float) -> None:
    """A job has ended and can be read until then, by the clock of lifetimes.py, which stands still while no ended job
    can be read. So the queue server deletes a hash to which nothing was added for so long."""
    name, field = _place(job.origin, job.id, owner)
    pipeline.hset(name, field, str(int(until_s // HOUR_S)))
    pipeline.expire(name, (job.result_ttl or 1) + (KEPT_H + 1) * HOUR_S)


def has(queue: Queue, job_id: str, owner: str, now_s: float) -> bool:
    """Whether the owner had such a job, not more than a day after its time."""
    name, field = _place(queue.name, job_id, owner)
    hour = cast(bytes | None, queue.connection.hget(name, field))
    return hour is not None and int(hour) + KEPT_H >= now_s // HOUR_S


def sweep(queue: Queue, turn: int, now_s: float) -> None:
    """Delete what is over of one of the hashes; `turn` counts up from sweep to sweep."""
    name = key(queue.name, f"{KNOWN}{turn % 16 ** DIGITS:0{DIGITS}x}")
    found = cast(dict[bytes, bytes], queue.connection.hgetall(name))
    over = [field for field, hour in found.items() if int(hour) + KEPT_H < now_s // HOUR_S]
    if over:
        queue.connection.hdel(name, *over)


def _place(queue_name: str, job_id: str, owner: str) -> tuple[str, bytes]:
    digest = hashlib.blake2b(f"{owner} {job_id}".encode(errors="surrogateescape"), digest_size=12).digest()
    return key(queue_name, KNOWN + digest.hex()[:DIGITS]), digest[2:]
