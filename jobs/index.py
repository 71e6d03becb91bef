"""Whose jobs there are: for each owner a list of those of his jobs that can be read, in the order of their acceptance.

The queue server numbers the jobs, so that no two machines' clocks are compared.
"""

from redis import Redis
from redis.client import Pipeline

from jobs.keys import key

INDEX = "jobs:"  # and the owner: a sorted set of ids by their numbers
NUMBERED = "numbered"  # how many jobs were ever accepted
# KEYS: the owner's list, the count. ARGV: a job.
NOTE = "redis.call('ZADD', KEYS[1], redis.call('INCR', KEYS[2]), ARGV[1])"


def index_of(owner: str, queue_name: str) -> str:
    """The key of an owner's list."""
    return key(queue_name, INDEX + owner)


def note_accepted(pipeline: Pipeline, queue_name: str, job_id: str, owner: str) -> None:
    """Add a job, in the transaction that accepts it."""
    pipeline.eval(NOTE, 2, index_of(owner, queue_name), key(queue_name, NUMBERED), job_id)


def forget_accepted(client: Redis | Pipeline, queue_name: str, owner: str, *ids: str) -> None:
    """These jobs cannot be read any more."""
    client.zrem(index_of(owner, queue_name), *ids)
