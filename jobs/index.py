"""Whose jobs there are: for each owner a list of those of his jobs that can be read, in the order of their acceptance.

The queue server numbers the jobs, so that no two machines' clocks are compared; acceptance.py adds each.
"""

from typing import cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.job import Job

from jobs.keys import key

INDEX = "jobs:"  # and the owner: a sorted set of ids by their numbers
AT_ONCE = 1000  # jobs that are looked up in one round trip
NUMBERED = "numbered"  # how many jobs were ever accepted


def index_of(owner: str, queue_name: str) -> str:
    """The key of an owner's list."""
    return key(queue_name, INDEX + owner)


def forget_accepted(client: Redis | Pipeline, queue_name: str, owner: str, *ids: str) -> None:
    """These jobs cannot be read any more."""
    client.zrem(index_of(owner, queue_name), *ids)


def sweep_index(queue: Queue) -> None:
    """Forget jobs that are not there any more: what RQ's tools deleted has no end that would forget it."""
    client = queue.connection
    for owners in client.scan_iter(f"{key(queue.name, INDEX)}*"):
        ids = cast(list[bytes], client.zrange(owners, 0, -1))
        for first in range(0, len(ids), AT_ONCE):
            missing = _missing(client, ids[first:first + AT_ONCE])
            if missing:
                client.zrem(owners, *missing)


def _missing(client: Redis, ids: list[bytes]) -> list[bytes]:
    with client.pipeline(transaction=False) as pipeline:
        for job_id in ids:
            pipeline.exists(Job.key_for(job_id.decode()))
        return [job_id for job_id, exists in zip(ids, pipeline.execute(), strict=True) if not exists]
