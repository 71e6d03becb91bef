"""How far a running job is, noted while it runs: for its document, for those who follow it, for its webhook."""

import logging

from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job

from jobs import webhooks
from jobs.events import CHANGES, channel
from jobs.execution import TILES_DONE

# KEYS: the job. ARGV: the field, how many tiles are done, the field of changes, the channel. What somebody ended, or
# deleted, meanwhile stays as it is.
NOTE_PROGRESS = """
if redis.call('HGET', KEYS[1], 'status') == 'started' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('HINCRBY', KEYS[1], ARGV[3], 1)
  redis.call('PUBLISH', ARGV[4], '')
end
"""
log = logging.getLogger(__name__)


def note_progress(queue: Queue, job_id: str, tiles_done: int) -> None:
    """A queue server that is away just now does not hinder the job."""
    try:
        with queue.connection.pipeline() as pipeline:
            pipeline.eval(NOTE_PROGRESS, 1, Job.key_for(job_id), TILES_DONE, str(tiles_done), CHANGES,
                          channel(queue.name, job_id))
            webhooks.note_progress(pipeline, queue.name, job_id, tiles_done)
            pipeline.execute()
    except RedisError as error:
        log.warning("progress of job %s is not noted: %s", job_id, error)
