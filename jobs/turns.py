"""Whose jobs wait, and in which order: callers take turns, so that a flood of one caller's jobs does not keep another's
waiting. The order is made when a job is queued; RQ's workers take the job at the head, as ever."""

from dataclasses import dataclass
from typing import cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.serializers import JSONSerializer

from jobs.keys import DEFAULT_QUEUE, key

# Hashes. Of the jobs that have not ended: job -> its caller, and the bytes of its image.
CALLERS = "callers"
# What each caller has of them, as "<caller> jobs" and "<caller> bytes", and the bytes of all.
COUNTS = "counts"
# Of the jobs that wait: job -> in which turn it is; and caller -> the turn of his last one.
TURNS = "turns"
NAMES = (CALLERS, COUNTS, TURNS)
# Along the queue the turns grow. A caller's job is one turn after his last one, but not before the turn that it is.
# It comes behind all jobs of its turn; `place` finds where, by halving. KEYS: the queue, and those above.
COMMON = """
local queue, callers, counts, turns = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
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
"""
# ARGV: a caller.
LOOK = COMMON + """
local behind = waiting - place(next_turn(ARGV[1]))
local own, own_bytes = number(counts, ARGV[1] .. ' jobs'), number(counts, ARGV[1] .. ' bytes')
return {waiting, own, redis.call('HLEN', callers), number(counts, 'bytes') - own_bytes, behind}
"""
# ARGV: a job.
ENTER = COMMON + """
local caller = string.match(redis.call('HGET', callers, ARGV[1]) or '', '^%S*')
if waiting == 0 then redis.call('DEL', turns) end
local turn = next_turn(caller)
local at = place(turn)
if at == waiting then redis.call('RPUSH', queue, ARGV[1])
else redis.call('LINSERT', queue, 'BEFORE', redis.call('LINDEX', queue, at), ARGV[1]) end
redis.call('HSET', turns, ARGV[1], turn, caller, turn)
"""
# KEYS: those above. ARGV: a job.
FORGET = """
local entry = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
if entry then
  redis.call('HDEL', KEYS[1], ARGV[1])
  local caller, bytes = string.match(entry, '^(%S*) (%d+)$')
  local less = string.format('%d', -tonumber(bytes))
  redis.call('HINCRBY', KEYS[2], 'bytes', less)
  redis.call('HINCRBY', KEYS[2], caller .. ' bytes', less)
  if redis.call('HINCRBY', KEYS[2], caller .. ' jobs', -1) <= 0 then
    redis.call('HDEL', KEYS[2], caller .. ' jobs', caller .. ' bytes')
  end
end
"""


@dataclass(frozen=True)
class Look:
    """The queue as a caller finds it: how many jobs wait in it, how many of them are his own, and the bytes of other
    callers' images. `share_behind` of the work that was accepted comes after his next job."""

    jobs: int
    own_jobs: int
    other_bytes: int
    share_behind: float


class Turns(Queue):
    """RQ's queue, in which callers take turns."""

    def look(self, caller: str) -> Look:
        """Raises RedisError."""
        found = cast(list[int], self.connection.eval(LOOK, 1 + len(NAMES), self.key, *_keys(self.name), caller))
        waiting, own, accepted, other_bytes, behind = found
        return Look(waiting, waiting if own == accepted else min(own, waiting), other_bytes, behind / max(1, accepted))

    def push_job_id(self, job_id: str, pipeline: Pipeline | None = None, at_front: bool = False) -> None:
        """What is requeued goes to the head."""
        if at_front:
            super().push_job_id(job_id, pipeline, at_front)
        else:
            client = self.connection if pipeline is None else pipeline
            client.eval(ENTER, 1 + len(NAMES), self.key, *_keys(self.name), job_id)


def make_queue(client: Redis, name: str = DEFAULT_QUEUE) -> Turns:
    """The one queue. A worker with several would lose a job when it dies between two steps of RQ's."""
    return Turns(name, connection=client, serializer=JSONSerializer)


def note(queue: Queue, job_id: str, caller: str, image_bytes: int) -> None:
    """Write down whose a job is, before it is queued."""
    callers, counts, _ = _keys(queue.name)
    with queue.connection.pipeline() as pipeline:
        pipeline.hset(callers, job_id, f"{caller} {image_bytes}")
        pipeline.hincrby(counts, f"{caller} jobs", 1)
        for field in (f"{caller} bytes", "bytes"):
            pipeline.hincrby(counts, field, image_bytes)
        pipeline.execute()


def forget(client: Redis | Pipeline, queue_name: str, job_id: str) -> None:
    """A job has ended."""
    client.eval(FORGET, len(NAMES), *_keys(queue_name), job_id)


def forget_all(queue: Queue) -> None:
    """Nothing waits or runs: whatever is left was lost in a crash."""
    queue.connection.delete(*_keys(queue.name))


def _keys(queue_name: str) -> list[str]:
    return [key(queue_name, name) for name in NAMES]
