"""The backlog: predicted milliseconds of the jobs that were accepted and have not ended, and how fast they go."""

from dataclasses import dataclass
from typing import cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue

from jobs.errors import NotInTime, QueueFull
from jobs.keys import key
from jobs.machines import Machines
from jobs.turns import ACCEPTED_MS, ENDED_MS, Look
from settings import MEGA, Settings
from shares import fits

PACE = "pace"
FORGETTING, MAX_PACE = 0.95, 20.0
# KEYS: the pace. ARGV: how much of the sums is kept, then the names of two and what is added to each.
NOTE_PACE = """
for at = 2, 4, 2 do
  local sum = tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or 0) * ARGV[1] + ARGV[at + 1]
  redis.call('HSET', KEYS[1], ARGV[at], string.format('%.6f', sum))
end
"""
SHARE = "; while others' jobs wait too, a caller may have half of what may wait"


@dataclass(frozen=True)
class Forecast:
    """How far the workers are with what was accepted: predicted milliseconds of all jobs that have ended, how many
    milliseconds a predicted one takes, and how many workers share the work. `time_s` is when, by the clock of jobs."""

    ended_ms: float
    pace: float
    workers: int
    time_s: float

    def seconds_left(self, predicted_ms: float, accepted_ms: float, ran_ms: float | None) -> float:
        """Until a job ends: what was accepted before it and has not ended, shared by the workers at their pace.
        `ran_ms` is how long the job runs already; None: it waits."""
        before_ms = accepted_ms - self.ended_ms if ran_ms is None else 0.0
        own_ms = max(predicted_ms, before_ms / self.workers)
        return max(1.0, own_ms * self.pace - (ran_ms or 0.0)) / 1000


class Backlog:
    """What waits in a queue, shared by the workers of all machines."""

    def __init__(self, queue: Queue, settings: Settings) -> None:
        self._queue, self._client, self._settings = queue, queue.connection, settings
        self.machines = Machines(queue)
        self._accepted, self._ended = key(queue.name, ACCEPTED_MS), key(queue.name, ENDED_MS)

    def ms(self) -> float:
        """What the workers will take for all jobs that have not ended, together."""
        return self.predicted_ms() * pace(self._queue)

    def predicted_ms(self) -> float:
        """What was predicted for them."""
        accepted, ended = cast(list[bytes | None], self._client.mget(self._accepted, self._ended))
        return max(0.0, _number(accepted) - _number(ended))

    def forecast(self) -> Forecast:
        """How far the workers are now, and at which pace they go."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.get(self._ended)
            pipeline.hmget(key(self._queue.name, PACE), "took", "predicted")
            pipeline.time()
            ended_ms, sums, (seconds, microseconds) = pipeline.execute()
        return Forecast(_number(ended_ms), _pace(*map(_number, sums)), self.machines.workers(),
                        seconds + microseconds / 1e6)

    def check_deadline(self, deadline_s: float | None, share_behind: float) -> None:
        """Raises NotInTime where a job could not begin within so many seconds, though a share of what was accepted
        comes after it."""
        if deadline_s is None:
            return
        wait_s = self.ms() * (1 - share_behind) / 1000 / self.machines.workers()
        if wait_s > deadline_s:
            raise NotInTime(f"it could not begin in time: the jobs before it take about {wait_s:.1f} s")

    def check_room(self, look: Look, image_bytes: int) -> None:
        """Raises QueueFull where so many jobs, or bytes of their images, wait that one more is too much."""
        if not fits(look.own_jobs, look.jobs, 1, self._settings.queue_max_jobs):
            raise QueueFull(f"{look.jobs} jobs wait already, {look.own_jobs} of them yours "
                            f"(PUNNET_QUEUE_MAX_JOBS){SHARE}", self._place_free_s(look.jobs))
        if not fits(look.own_bytes, look.bytes, image_bytes, self._settings.queue_max_mb * MEGA):
            raise QueueFull(f"images of waiting jobs fill {look.bytes / MEGA:.0f} of {self._settings.queue_max_mb:g} "
                            f"MB already (PUNNET_QUEUE_MAX_MB){SHARE}", self._place_free_s(look.jobs))

    def _place_free_s(self, waiting: int) -> float:
        """Until the job at the head has run: the backlog, shared by the workers and the jobs."""
        return max(1.0, self.ms() / 1000 / max(1, waiting) / self.machines.workers())


def note_pace(client: Redis | Pipeline, queue: Queue, predicted_ms: float, took_ms: float) -> None:
    """Remember what a job really took: workers compute in the background, beside other work, and a tiled image on
    several cores. The sums forget by and by."""
    client.eval(NOTE_PACE, 1, key(queue.name, PACE), FORGETTING, "took", took_ms,
                          "predicted", predicted_ms)  # any value is sent as its text


def pace(queue: Queue) -> float:
    """Milliseconds of a worker per predicted one; below 1 where jobs run on several cores."""
    return _pace(*_sums(queue))


def _pace(took: float, predicted: float) -> float:
    return min(MAX_PACE, max(1 / MAX_PACE, took / predicted)) if predicted > 0 else 1.0


def _sums(queue: Queue) -> tuple[float, float]:
    found = queue.connection.hmget(key(queue.name, PACE), "took", "predicted")
    took, predicted = cast(list[bytes | None], found)
    return _number(took), _number(predicted)


def _number(value: bytes | None) -> float:
    return float(value or 0)
