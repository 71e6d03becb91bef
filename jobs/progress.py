"""How far a running job is, noted while it runs: for its document, for those who follow it, for its webhook."""

import logging

from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job

from jobs import webhooks
from jobs.events import CHANGES, channel
from jobs.execution import TILES_DONE
from jobs.standing import EXECUTION

# KEYS: the job. ARGV: the field, how many tiles are done, the field of changes, the channel, the field that names the
# job's execution, and the one whose progress it is. Returns whether it is noted: what somebody ended, deleted, or gave
# to another meanwhile stays as it is.
NOTE_PROGRESS = """
local is_own = redis.call('HGET', KEYS[1], ARGV[5]) == ARGV[6]
if not is_own or redis.call('HGET', KEYS[1], 'status') ~= 'started' then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], ARGV[3], 1)
redis.call('PUBLISH', ARGV[4], '')
return 1
"""
log = logging.getLogger(__name__)


def note_progress(queue: Queue, job_id: str, execution_id: str, tiles_done: int) -> None:
    """A queue server that is away just now does not hinder the job."""
    try:
        if queue.connection.eval(NOTE_PROGRESS, 1, Job.key_for(job_id), TILES_DONE, str(tiles_done), CHANGES,
                                 channel(queue.name, job_id), EXECUTION, execution_id):
            webhooks.note_progress(queue.connection, queue.name, job_id, tiles_done)
    except RedisError as error:
        log.warning("progress of job %s is not noted: %s", job_id, error)
