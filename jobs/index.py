"""Whose jobs there are: for each owner a list of those of his jobs that can be read, in the order of their acceptance.

The queue server numbers the jobs, so that no two machines' clocks are compared; acceptance.py adds each.
"""

from redis import Redis
from redis.client import Pipeline

from jobs.keys import key

INDEX = "jobs:"  # and the owner: a sorted set of ids by their numbers
NUMBERED = "numbered"  # how many jobs were ever accepted


def index_of(owner: str, queue_name: str) -> str:
    """The key of an owner's list."""
    return key(queue_name, INDEX + owner)


def forget_accepted(client: Redis | Pipeline, queue_name: str, owner: str, *ids: str) -> None:
    """These jobs cannot be read any more."""
    client.zrem(index_of(owner, queue_name), *ids)
