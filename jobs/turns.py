"""Whose jobs wait, and in which order: callers take turns, so that a flood of one caller's jobs does not keep another's
waiting. The order is made when a job is queued; RQ's workers take the job at the head, as ever."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.serializers import JSONSerializer

from jobs.deferral import deferred_key
from jobs.keys import DEFAULT_QUEUE, key

# Hashes. Of the jobs that have not ended: job -> its caller, the bytes of its image and its predicted milliseconds. All
# that is counted of a job is in its entry, so that it is counted out once, whoever ends the job and how often.
CALLERS = "callers"
# What each caller has of them, as "<caller> jobs" and "<caller> bytes", and the bytes of all.
COUNTS = "counts"
# Of the jobs that wait: job -> in which turn it is; and caller -> the turn of his last one.
TURNS = "turns"
# Predicted milliseconds of all jobs ever accepted, and of all that have ended: their difference is the backlog.
ACCEPTED_MS, ENDED_MS = "accepted-ms", "ended-ms"
NAMES = (CALLERS, COUNTS, TURNS, ACCEPTED_MS, ENDED_MS)
# Along the queue the turns grow. A caller's job is one turn after his last one, but not before the turn that it is.
# It comes behind all jobs of its turn; `place` finds where, by halving. KEYS: the queue, and those above.
COMMON = """
local queue, callers, counts, turns, accepted, ended = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local waiting = redis.call('LLEN', queue)
local function number(hash, field) return tonumber(redis.call('HGET', hash, field) or 0) end
local function turn_at(place) return number(turns, redis.call('LINDEX', queue, place)) end
local function next_turn(caller)
  if waiting == 0 then return 1 end
  return math.max(number(turns, caller) + 1, turn_at(0))
end
local function place(turn)
  if waiting == 0 or turn_at(-1) <= turn then return waiting end
  local low, high = 0, waiting - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if turn_at(middle) > turn then high = middle else low = middle + 1 end
  end
  return low
end
local function enter(job)
  local caller = string.match(redis.call('HGET', callers, job) or '', '^%S*')
  if waiting == 0 then redis.call('DEL', turns) end
  local turn = next_turn(caller)
  local at = place(turn)
  if at == waiting then redis.call('RPUSH', queue, job)
  else redis.call('LINSERT', queue, 'BEFORE', redis.call('LINDEX', queue, at), job) end
  redis.call('HSET', turns, job, turn, caller, turn)
  return at
end
"""
# KEYS: besides, the registry of deferred jobs, which wait too. ARGV: a caller.
LOOK = COMMON + """
local behind, now = waiting - place(next_turn(ARGV[1])), redis.call('TIME')
local own, own_bytes = number(counts, ARGV[1] .. ' jobs'), number(counts, ARGV[1] .. ' bytes')
local all = waiting + redis.call('ZCARD', KEYS[7])
return {all, own, redis.call('HLEN', callers), number(counts, 'bytes'), own_bytes, behind, now[1], now[2]}
"""
# ARGV: a job.
ENTER = COMMON + "enter(ARGV[1])"
# ARGV: a job.
FORGET = """
local callers, counts, turns, ended = KEYS[2], KEYS[3], KEYS[4], KEYS[6]
local entry = redis.call('HGET', callers, ARGV[1])
redis.call('HDEL', turns, ARGV[1])
if entry then
  redis.call('HDEL', callers, ARGV[1])
  local caller, bytes, predicted_ms = string.match(entry, '^(%S*) (%d+) ?(%S*)$')
  local less = string.format('%d', -tonumber(bytes))
  redis.call('HINCRBY', counts, 'bytes', less)
  redis.call('HINCRBY', counts, caller .. ' bytes', less)
  if redis.call('HINCRBY', counts, caller .. ' jobs', -1) <= 0 then
    redis.call('HDEL', counts, caller .. ' jobs', caller .. ' bytes')
  end
  if predicted_ms ~= '' then redis.call('INCRBYFLOAT', ended, predicted_ms) end
end
"""


@dataclass(frozen=True)
class Look:
    """The queue as a caller finds it: how many jobs wait in it, how many of them are his own, and the bytes of the
    images of all jobs and of his own. `share_behind` of the work that was accepted comes after his next job. `now_s` is
    by the queue server's clock; that was heard at `heard_at` of time.monotonic."""

    jobs: int
    own_jobs: int
    bytes: int
    own_bytes: int
    share_behind: float
    now_s: float
    heard_at: float


class Turns(Queue):
    """RQ's queue, in which callers take turns."""

    def look(self, caller: str) -> Look:
        """Raises RedisError."""
        found = run(self.connection, LOOK, self, caller, more_keys=[deferred_key(self.name)])
        waiting, own, accepted, total, own_bytes, behind, now, micros = found
        return Look(waiting, waiting if own == accepted else min(own, waiting), total, own_bytes,
                    behind / max(1, accepted), int(now) + int(micros) / 1e6, time.monotonic())

    def push_job_id(self, job_id: str, pipeline: Pipeline | None = None, at_front: bool = False) -> None:
        """What is requeued goes to the head."""
        if at_front:
            super().push_job_id(job_id, pipeline, at_front)
        else:
            run(self.connection if pipeline is None else pipeline, ENTER, self, job_id)


def make_queue(client: Redis, name: str = DEFAULT_QUEUE) -> Turns:
    """The one queue. A worker with several would lose a job when it dies between two steps of RQ's."""
    return Turns(name, connection=client, serializer=JSONSerializer)


def entry(caller: str, image_bytes: int, predicted_ms: str) -> str:
    """What is counted of a job until it has ended."""
    return f"{caller} {image_bytes} {predicted_ms}"


def forget(pipeline: Pipeline, queue: Queue, job_id: str) -> None:
    """A job has ended: count it out, in the transaction that ends it."""
    run(pipeline, FORGET, queue, job_id)


def run(client: Redis | Pipeline, script: str, queue: Queue, *given: str | bytes | float,
        more_keys: Sequence[str] = ()) -> Any:
    """One of the scripts that begin with COMMON, or take its keys."""
    keys = [queue.key, *(key(queue.name, name) for name in NAMES), *more_keys]
    return client.eval(script, len(keys), *keys, *given)
