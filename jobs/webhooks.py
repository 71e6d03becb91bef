"""Whom a job's events are to be told, and what of them is not told yet.

A job's hook is a hash: the URL, the events that are wanted, and those that are due. `DUE` has the hooks with something
to tell, each with the time when the next try is due. What happens to a job is written there in the transaction that
changes the job: so no end goes untold, and nothing is told that did not happen.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from redis import Redis
from redis.client import Pipeline
from rq.job import Job

from jobs.keys import key

Event = Literal["start", "progress", "completed"]
EVENTS: tuple[Event, ...] = ("start", "progress", "completed")
HOOK, DUE = "webhook:", "webhooks-due"
# The job's own hash as it was at its end: the job may be over before its end is told.
ENDED_JOB = "webhook-job:"
KEPT_S = 7 * 24 * 3600  # longer than all tries of all events take
# What a hook has of an event: it is due, or it has been told. Of progress, how many tiles were done.
IS_DUE, IS_TOLD = b"1", b"0"
# KEYS: the hook, DUE. ARGV: the job, its tiles done. Nothing goes on after the end.
PROGRESS = """
if string.find(redis.call('HGET', KEYS[1], 'events') or '', 'progress', 1, true)
    and redis.call('HEXISTS', KEYS[1], 'completed') == 0 then
  redis.call('HSET', KEYS[1], 'progress', ARGV[2])
  redis.call('ZADD', KEYS[2], 'NX', 0, ARGV[1])
end
"""


@dataclass(frozen=True)
class Webhook:
    """Which events of a job are to be told, and where. `traceparent` is of the request that asked for it, or ""."""

    url: str
    events: tuple[Event, ...]
    traceparent: str = ""


def to_meta(webhook: Webhook | None) -> dict[str, Any] | None:
    """What a job says of its webhook; `webhook_of` reads it."""
    return None if webhook is None else asdict(webhook)


def webhook_of(job: Job) -> Webhook | None:
    """Where a job's events are to be told."""
    given = job.meta.get("webhook")
    return None if given is None else Webhook(**given | {"events": tuple(given["events"])})


def note_start(pipeline: Pipeline, job: Job) -> None:
    """A job begins; one that was requeued has begun before."""
    if (webhook := webhook_of(job)) is not None:
        _keep(pipeline, job, webhook)
        if "start" in webhook.events:
            pipeline.hsetnx(key(job.origin, HOOK + job.id), "start", IS_DUE)
            _make_due(pipeline, job)


def note_progress(client: Redis, queue_name: str, job_id: str, tiles_done: int) -> None:
    """Tiles of a job are done, which it may not have any webhook to tell to. What was not told yet of earlier ones is
    not told any more."""
    client.eval(PROGRESS, 2, key(queue_name, HOOK + job_id), key(queue_name, DUE), job_id, str(tiles_done))


def note_end(pipeline: Pipeline, job: Job) -> None:
    """A job has ended, and its hash says how. Where nobody wants to be told, whoever delivers tidies up."""
    if (webhook := webhook_of(job)) is not None:
        _keep(pipeline, job, webhook)
        is_due = IS_DUE if "completed" in webhook.events else IS_TOLD
        pipeline.hset(key(job.origin, HOOK + job.id), "completed", is_due)
        pipeline.copy(job.key, key(job.origin, ENDED_JOB + job.id), replace=True)
        pipeline.expire(key(job.origin, ENDED_JOB + job.id), KEPT_S)
        _make_due(pipeline, job)


def forget(pipeline: Pipeline, job: Job) -> None:
    """A job has never been."""
    if webhook_of(job) is not None:
        pipeline.delete(key(job.origin, HOOK + job.id))
        pipeline.zrem(key(job.origin, DUE), job.id)


def next_event(hook: Mapping[bytes, bytes]) -> Event | None:
    """What is to be told first. The end is told instead of progress that came before it."""
    if hook.get(b"start") == IS_DUE:
        return "start"
    if hook.get(b"completed") == IS_DUE:
        return "completed"
    return "progress" if b"progress" in hook else None


def _keep(pipeline: Pipeline, job: Job, webhook: Webhook) -> None:
    hook = key(job.origin, HOOK + job.id)
    pipeline.hset(hook, mapping={"url": webhook.url, "events": ",".join(webhook.events),
                                 "traceparent": webhook.traceparent})
    pipeline.expire(hook, KEPT_S)


def _make_due(pipeline: Pipeline, job: Job) -> None:
    """At once, unless a try is under way, or one before it failed and waits."""
    pipeline.zadd(key(job.origin, DUE), {job.id: 0}, nx=True)
