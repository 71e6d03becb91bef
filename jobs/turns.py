"""Whose jobs wait, and in which order: callers take turns, so that a flood of one caller's jobs does not keep another's
waiting. The order is made when a job is queued; RQ's workers take the job at the head, as ever."""

from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue

# A hash: job -> its caller, its predicted milliseconds and the bytes of its image, until it has ended.
CALLERS = "punnet:callers"
# Reads whose jobs wait or run, and finds the place of a caller's next one: his n-th job comes before everybody's jobs
# that are at least their caller's n+1st. KEYS: the queue, the hash.
COMMON = """
local ids, told, waits = redis.call('LRANGE', KEYS[1], 0, -1), {}, {}
local function add(id, entry)
  local caller, ms, bytes = string.match(entry, '^(%S*) (%S+) (%S+)$')
  told[id] = {caller = caller, ms = tonumber(ms), bytes = tonumber(bytes)}
end
local entries = redis.call('HGETALL', KEYS[2])
for at = 1, #entries, 2 do add(entries[at], entries[at + 1]) end
for _, id in ipairs(ids) do
  waits[id] = true
  if not told[id] then add(id, ' 0 0') end
end
local function place(caller)
  local turns = {}
  for id, job in pairs(told) do if not waits[id] then turns[job.caller] = (turns[job.caller] or 0) + 1 end end
  local own = (turns[caller] or 0) + 1
  for _, id in ipairs(ids) do if told[id].caller == caller then own = own + 1 end end
  for at, id in ipairs(ids) do
    local other = told[id].caller
    turns[other] = (turns[other] or 0) + 1
    if turns[other] > own then return at end
  end
  return #ids + 1
end
"""
# ARGV: a caller. Numbers with a fraction leave a script as text.
LOOK = COMMON + """
local own_jobs, other_bytes, behind_ms = 0, 0, 0
for id, job in pairs(told) do
  if job.caller ~= ARGV[1] then other_bytes = other_bytes + job.bytes
  elseif waits[id] then own_jobs = own_jobs + 1 end
end
for behind = place(ARGV[1]), #ids do behind_ms = behind_ms + told[ids[behind]].ms end
return {#ids, own_jobs, tostring(other_bytes), tostring(behind_ms)}
"""
# ARGV: a job, which the hash knows unless that was lost.
ENTER = COMMON + """
local job = told[ARGV[1]] or {caller = ''}
told[ARGV[1]] = nil
local before = ids[place(job.caller)]
if before then redis.call('LINSERT', KEYS[1], 'BEFORE', before, ARGV[1])
else redis.call('RPUSH', KEYS[1], ARGV[1]) end
"""


@dataclass(frozen=True)
class Look:
    """The queue as a caller finds it: how many jobs wait in it, how many of them are his own, the bytes of other
    callers' images, and the predicted milliseconds of the jobs that come after his next one."""

    jobs: int
    own_jobs: int
    other_bytes: float
    behind_ms: float


class Turns(Queue):
    """RQ's queue, in which callers take turns."""

    def look(self, caller: str) -> Look:
        """Raises RedisError."""
        found = cast(list[Any], self.connection.eval(LOOK, 2, self.key, CALLERS, caller))
        return Look(found[0], found[1], float(found[2]), float(found[3]))

    def push_job_id(self, job_id: str, pipeline: Pipeline | None = None, at_front: bool = False) -> None:
        """What is requeued goes to the head."""
        if at_front:
            super().push_job_id(job_id, pipeline, at_front)
        else:
            (self.connection if pipeline is None else pipeline).eval(ENTER, 2, self.key, CALLERS, job_id)


def note(client: Redis, job_id: str, caller: str, predicted_ms: float, image_bytes: int) -> None:
    """Write down whose a job is, before it is queued."""
    client.hset(CALLERS, job_id, f"{caller} {predicted_ms} {image_bytes}")


def forget(client: Redis | Pipeline, job_id: str) -> None:
    """A job has ended."""
    client.hdel(CALLERS, job_id)


def forget_all(client: Redis) -> None:
    """Nothing waits or runs: whatever is left was lost in a crash."""
    client.delete(CALLERS)
