"""What is to be told to whom, now: deliveries are claimed here, and what came of each try is written down.

The queue server's clock alone decides what is due. A claim is good for `LEASE_S`: then whoever had it has died, and
another may have it. One event of a job is told at a time, so that no event overtakes another.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import urlsplit

from rq import Queue

from jobs.keys import key
from jobs.totals import DELIVERIES, Delivered
from jobs.webhooks import DUE, ENDED_JOB, HOOK, KEPT_S, Event, next_event

LEASE_S = 30.0  # longer than a try takes
# Seconds before the second try of an event, the third, and so on: nine hours in all.
PAUSES_S = (5, 30, 180, 900, 3600, 3 * 3600, 5 * 3600)
MOST_TRIES = 1 + len(PAUSES_S)
CLAIMS, TRIES = "webhook-claims", "webhook-tries:"
KEPT_TRIES = 100  # of one job: of progress there may be many
# KEYS: DUE, CLAIMS. ARGV: who claims, how many, for how long.
CLAIM = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, job in ipairs(due) do
  redis.call('ZADD', KEYS[1], now + ARGV[3], job)
  redis.call('HSET', KEYS[2], job, ARGV[1])
end
return due
"""
# KEYS: DUE, CLAIMS, the hook, its tries, the ended job's hash, how many tries had which result. ARGV: who claims; the
# job; for how long tries can be read once the webhook is over, and before; how many of them; and of a try that was
# made: how it is written down, its event, of progress the tiles that were told, the pause before the next try (0:
# none), and its result.
SETTLE = """
local due, claims, hook, tries, ended_job, results = unpack(KEYS)
local who, job, kept_over, kept, most, entry, event, tiles, pause, result = unpack(ARGV)
if redis.call('HGET', claims, job) ~= who then return 0 end
redis.call('HDEL', claims, job)
if entry then
  redis.call('RPUSH', tries, entry)
  redis.call('LTRIM', tries, -most, -1)
  redis.call('EXPIRE', tries, kept)
  redis.call('HINCRBY', results, result, 1)
  if tonumber(pause) > 0 then
    local time = redis.call('TIME')
    redis.call('HINCRBY', hook, event .. '-tries', 1)
    redis.call('ZADD', due, time[1] + time[2] / 1000000 + pause, job)
    return 1
  end
  redis.call('HDEL', hook, event .. '-tries')
  if event == 'completed' then redis.call('HDEL', hook, 'progress') end
  if event ~= 'progress' then redis.call('HSET', hook, event, 0)
  elseif redis.call('HGET', hook, event) == tiles then redis.call('HDEL', hook, event) end
  if result == 'refused' then redis.call('HSET', hook, 'refused', 1) end
end
if redis.call('HEXISTS', hook, 'url') == 0 or redis.call('HEXISTS', hook, 'refused') == 1 then
  redis.call('HDEL', hook, 'url', 'events', 'progress')
  redis.call('HSET', hook, 'start', 0, 'completed', 0)
end
if redis.call('HGET', hook, 'start') == '1' or redis.call('HGET', hook, 'completed') == '1'
    or redis.call('HEXISTS', hook, 'progress') == 1 then
  redis.call('ZADD', due, 0, job)
  return 1
end
redis.call('ZREM', due, job)
if redis.call('HGET', hook, 'completed') == '0' then
  redis.call('DEL', ended_job)
  redis.call('EXPIRE', hook, kept_over)
  redis.call('EXPIRE', tries, kept_over)
end
return 1
"""


@dataclass(frozen=True)
class Delivery:
    """An event of a job that is to be told now, for the `number`-th time. Of progress `tiles_done` are told."""

    job_id: str
    url: str
    event: Event
    number: int
    tiles_done: int = 0
    traceparent: str = ""

    @property
    def receiver(self) -> str:
        """Whom it is told to, without what a URL may hold of secrets."""
        return urlsplit(self.url).netloc

    @property
    def message_id(self) -> str:
        """The same for each try, so that the receiver can tell what he has already."""
        return f"msg_{self.job_id}_{self.event}" + (f"_{self.tiles_done}" if self.event == "progress" else "")


@dataclass(frozen=True)
class Try:
    """What came of a try: the receiver's status, or why there is none."""

    at: str
    event: Event
    number: int
    status: int | None = None
    error: str | None = None

    @property
    def result(self) -> Delivered:
        """`refused`: the receiver wants to hear no more of this job."""
        if self.status is not None and 200 <= self.status < 300:
            return "told"
        if self.status == 410:
            return "refused"
        return "failed" if self.number < MOST_TRIES else "given-up"

    @property
    def pause_s(self) -> int:
        """Until the next try; 0 where there is none."""
        return PAUSES_S[self.number - 1] if self.result == "failed" else 0


class Outbox:
    """One deliverer's access. `name` is its own while it lives: only one of a name runs at a time. Every method raises
    RedisError."""

    def __init__(self, queue: Queue, name: str, kept_s: int) -> None:
        """`kept_s`: how long the tries of a webhook that is over can be read."""
        self._client, self._queue_name, self._name, self._kept_s = queue.connection, queue.name, name, kept_s
        self._due, self._claims = self._key(DUE), self._key(CLAIMS)

    def is_empty(self) -> bool:
        """Whether nothing is due, now or later."""
        return not self._client.exists(self._due)

    def release_own(self) -> None:
        """What was claimed under this name, by one that has died, is due at once."""
        claims = cast(dict[bytes, bytes], self._client.hgetall(self._claims))
        own = [job_id for job_id, name in claims.items() if name == self._name.encode()]
        if own:
            self._client.zadd(self._due, dict.fromkeys(own, 0), xx=True)

    def claim(self, most: int) -> Sequence[str]:
        """Jobs of which something is to be told now: nobody else tells it while the claim is good."""
        found = self._client.eval(CLAIM, 2, self._due, self._claims, self._name, str(most), str(LEASE_S))
        return [job_id.decode() for job_id in cast(list[bytes], found)]

    def delivery(self, job_id: str) -> Delivery | None:
        """What is to be told of a job first; None where nothing is any more."""
        hook = cast(dict[bytes, bytes], self._client.hgetall(self._key(HOOK + job_id)))
        event = next_event(hook)
        if event is None or b"url" not in hook or b"refused" in hook:
            return None
        number = 1 + int(hook.get(f"{event}-tries".encode(), 0))
        return Delivery(job_id, hook[b"url"].decode(), event, number, int(hook.get(b"progress", 0)),
                        hook.get(b"traceparent", b"").decode())

    def settle(self, delivery: Delivery, made: Try) -> None:
        """Write down what came of a claimed delivery; nothing where another has claimed it meanwhile."""
        self._settle(delivery.job_id, json.dumps(asdict(made)), made.event, str(delivery.tiles_done),
                     str(made.pause_s), made.result)

    def let_go(self, job_id: str) -> None:
        """There was nothing to tell of a claimed job; what happened since is due."""
        self._settle(job_id)

    def defer(self, job_id: str, pause_s: float) -> None:
        """The receiver of a claimed delivery is busy enough: it is due again so much later."""
        self._client.zincrby(self._due, pause_s - LEASE_S, job_id)

    def _settle(self, job_id: str, *made: str) -> None:
        keys = (self._due, self._claims, *(self._key(name + job_id) for name in (HOOK, TRIES, ENDED_JOB)),
                self._key(DELIVERIES))
        self._client.eval(SETTLE, len(keys), *keys, self._name, job_id, str(self._kept_s), str(KEPT_S),
                          str(KEPT_TRIES), *made)

    def _key(self, name: str) -> str:
        return key(self._queue_name, name)


def tries(queue: Queue, job_id: str) -> Sequence[dict]:
    """The tries that were made for a job, the oldest first. Raises RedisError."""
    found = cast(list[bytes], queue.connection.lrange(key(queue.name, TRIES + job_id), 0, -1))
    return [json.loads(entry) for entry in found]
