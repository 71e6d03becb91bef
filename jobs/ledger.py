"""What is counted of jobs is made to agree with the jobs.

RQ's own tools change jobs past Punnet's code: `rq` and rq-dashboard cancel them, delete them, empty the queue, and give
up what they take for abandoned. Nobody announces that. So a pool looks at the jobs that are counted but neither wait
nor run, and does for each what Punnet's own code would have done.
"""

import logging
import time
from collections.abc import Callable
from typing import cast

from redis.client import Pipeline
from rq.job import Job, JobStatus

from jobs.deferral import deferred_key
from jobs.events import announce
from jobs.execution import write_end
from jobs.job import CANCELED, GIVEN_UP, WORKER_LOST, Outcome
from jobs.keys import key
from jobs.lifetimes import RUN_AGAIN
from jobs.standing import ENDED, Move, Say, Standing, change
from jobs.turns import CALLERS, COMMON, Turns, forget, run

LOOK_S = 5.0  # between two looks, of all pools together
LOOKED = "ledger-looked"  # set while the last look is recent
# Returns the jobs that are counted but are in none of the places where a job waits or runs, and counts anew where the
# sums disagree with the jobs' entries. KEYS: those of COMMON; the list of what workers have just taken, and RQ's
# registries of executions and of deferred jobs.
AUDIT = COMMON + """
local present, astray, sums, fields, bytes, ms = {}, {}, {}, 0, 0, 0
for _, list in ipairs({queue, KEYS[7]}) do
  for _, job in ipairs(redis.call('LRANGE', list, 0, -1)) do present[job] = true end
end
for _, execution in ipairs(redis.call('ZRANGE', KEYS[8], 0, -1)) do
  present[string.match(execution, '^[^:]*')] = true
end
for _, job in ipairs(redis.call('ZRANGE', KEYS[9], 0, -1)) do present[job] = true end
local entries = redis.call('HGETALL', callers)
for at = 1, #entries, 2 do
  local caller, size, predicted_ms = string.match(entries[at + 1], '^(%S*) (%d+) ?(%S*)$')
  for field, more in pairs({[caller .. ' jobs'] = 1, [caller .. ' bytes'] = tonumber(size)}) do
    if not sums[field] then fields = fields + 1 end
    sums[field] = (sums[field] or 0) + more
  end
  bytes, ms = bytes + size, ms + (tonumber(predicted_ms) or 0)
  if not present[entries[at]] then table.insert(astray, entries[at]) end
end
sums['bytes'] = bytes
local agree = redis.call('HLEN', counts) == fields + 1
for field, sum in pairs(sums) do agree = agree and number(counts, field) == sum end
if not agree then
  redis.call('DEL', counts)
  for field, sum in pairs(sums) do redis.call('HSET', counts, field, string.format('%d', sum)) end
end
local total_ms = tonumber(redis.call('GET', accepted) or 0)
if math.abs(total_ms - ms - tonumber(redis.call('GET', ended) or 0)) > 1 then
  redis.call('SET', ended, string.format('%.3f', total_ms - ms))
end
return astray
"""
log = logging.getLogger(__name__)


class Ledger:
    """One pool's part in it. `delete_images` is told of each job that has ended past Punnet's code."""

    def __init__(self, queue: Turns, delete_images: Callable[[str], None]) -> None:
        self._queue, self._client, self._delete_images = queue, queue.connection, delete_images
        self._looked_at = float("-inf")

    def look(self) -> None:
        """To be called each second. Raises RedisError."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return
        self._looked_at = time.monotonic()
        if self._client.hlen(key(self._queue.name, CALLERS)) and self._client.set(
                key(self._queue.name, LOOKED), "", nx=True, px=int(LOOK_S * 900)):
            self.audit()

    def audit(self) -> None:
        """Raises RedisError."""
        keys = (self._queue.intermediate_queue_key, self._queue.started_job_registry.key,
                deferred_key(self._queue.name))
        for job_id in cast(list[bytes], run(self._client, AUDIT, self._queue, more_keys=keys)):
            self._settle(job_id.decode())

    def _settle(self, job_id: str) -> None:
        if change(self._queue, job_id, self._decide):
            log.warning("job %s was changed by other tools than Punnet's: what is counted is right again", job_id)
        if self._client.hget(Job.key_for(job_id), "status") not in RUN_AGAIN:
            self._delete_images(job_id)

    def _decide(self, standing: Standing) -> Move | None:
        if standing.waits or standing.taken or standing.executions:
            return None  # it moved on between the look and now
        if not standing.exists:
            return self._count_out
        if standing.job.get_status(refresh=False) not in ENDED:
            return self._put_back
        return self._count_out if standing.outcome else _adopt

    def _count_out(self, pipeline: Pipeline, standing: Standing) -> None:
        """The job is deleted, or it just ended as it should."""
        forget(pipeline, self._queue, standing.job.id)
        announce(pipeline, standing.job.id, self._queue.name)
        if not standing.exists:
            pipeline.delete(standing.job.key)  # a late heartbeat may have made it anew, and so has the announcement

    def _put_back(self, pipeline: Pipeline, standing: Standing) -> None:
        """It is to run and lies nowhere: it goes to the head of the queue."""
        standing.forget(pipeline)
        standing.job.set_status(JobStatus.QUEUED, pipeline=pipeline)
        self._queue.push_job_id(standing.job.id, pipeline=pipeline, at_front=True)
        announce(pipeline, standing.job.id, self._queue.name)


def _adopt(pipeline: Pipeline, standing: Standing) -> Say:
    """Another tool ended it: the end is written down as Punnet's own."""
    canceled = standing.job.get_status(refresh=False) is JobStatus.CANCELED
    outcome = Outcome(kind=CANCELED) if canceled else Outcome(kind=WORKER_LOST, detail=GIVEN_UP)
    return write_end(pipeline, standing, outcome)
