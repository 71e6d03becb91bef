"""What belongs to the end of a job, whoever ends it: its worker, its cancellation, the pool."""

from typing import cast

from redis import Redis
from redis.client import Pipeline
from rq.job import Job

from jobs.events import CHANNEL

# Kept for a day after a job's time, so that its id is told from one that never was.
TOMBSTONE = "punnet:known:"
TOMBSTONE_S = 24 * 3600
# Predicted milliseconds of all jobs ever accepted, and of all that have ended: their difference is the backlog.
ACCEPTED_MS = "punnet:accepted-ms"
ENDED_MS = "punnet:ended-ms"
PACE = "punnet:pace"
FORGETTING, MAX_PACE = 0.95, 20.0


def mark_ended(pipeline: Pipeline, job: Job) -> None:
    """To be done in the transaction that ends it: backlog, tombstone, news for those who wait."""
    pipeline.incrbyfloat(ENDED_MS, job.meta["predicted_ms"])
    pipeline.set(TOMBSTONE + job.id, b"", ex=(job.result_ttl or 0) + TOMBSTONE_S)
    announce(pipeline, job.id)


def note_pace(client: Redis, predicted_ms: float, took_ms: float) -> None:
    """What the workers really take for a predicted millisecond: they run at low priority, beside other work. The
    sums forget by and by; two workers that write at once lose one of many jobs."""
    took, predicted = _pace(client)
    client.hset(PACE, mapping={"took": took * FORGETTING + took_ms, "predicted": predicted * FORGETTING + predicted_ms})


def pace(client: Redis) -> float:
    """Milliseconds of a worker per predicted one."""
    took, predicted = _pace(client)
    return min(MAX_PACE, max(1 / MAX_PACE, took / predicted)) if predicted > 0 else 1.0


def _pace(client: Redis) -> tuple[float, float]:
    took, predicted = cast(list[bytes | None], client.hmget(PACE, "took", "predicted"))
    return float(took or 0), float(predicted or 0)


def announce(client: Redis | Pipeline, job_id: str) -> None:
    """Tell those who wait that something happened to the job."""
    client.publish(CHANNEL + job_id, b"")
