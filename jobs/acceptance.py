"""How a job is accepted: all of it or nothing, in one step of the queue server, and never after its caller was told
that it is not."""

import time
import uuid
from collections.abc import Callable
from typing import Any

from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Retry
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.utils import now

from jobs import computation, webhooks
from jobs.backlog import Backlog
from jobs.doubts import Doubts
from jobs.errors import KeyInUse, QueueUnavailable
from jobs.execution import begin, owner_of, register, send_stop
from jobs.idempotency import Claim
from jobs.images import Images
from jobs.index import NUMBERED, forget_accepted, index_of
from jobs.job import JobRequest
from jobs.keys import key
from jobs.lifetimes import first_over_s
from jobs.results import Results
from jobs.standing import ACCEPTED, Standing, change
from jobs.trouble import AWAY
from jobs.turns import COMMON, Look, Turns, entry, forget, run
from settings import Settings

TASK = "worker.tasks.predict"  # what RQ's tools show; the worker runs every job of the queue alike
# RQ's own tools clean up after an execution without heartbeats: with tries left they requeue the job, as we do.
RETRIES = 3
# A web process gives up an answer after a second, and its caller is told that nothing is accepted. So the queue server,
# which may have been frozen meanwhile, takes nothing that reaches it later than that.
TAKEN_WITHIN_S = 0.8
# KEYS: those of COMMON; the job's hash, RQ's set of queues, and its list of what workers have just taken; its owner's
# list of jobs, how many there ever were, and those that ask for the same computation, and the claim of
# idempotency.py that the job takes the place of.
# ARGV: the job; its caller, bytes and predicted ms, and those as one entry; until when it may be taken, by the server's
# clock; "taken" for one that runs already; the token of the claim, and for how many seconds the job has its place;
# names and values of the job's hash.
# In the turn of its caller a job may come before others: what is accepted, but comes after it, is not to be waited for.
ACCEPT = COMMON + """
local job, caller, bytes, predicted_ms, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4], redis.call('TIME')
if now[1] + now[2] / 1000000 > tonumber(ARGV[6]) then return 0 end
if ARGV[8] ~= '' then
  if redis.call('HGET', KEYS[13], 'token') ~= ARGV[8] then return -1 end
  redis.call('HDEL', KEYS[13], 'token')
  redis.call('HSET', KEYS[13], 'job', job)
  redis.call('EXPIRE', KEYS[13], ARGV[9])
end
redis.call('HSET', KEYS[7], unpack(ARGV, 10))
redis.call('SADD', KEYS[8], queue)
local jobs = redis.call('HLEN', callers)
local backlog_ms = math.max(0, tonumber(redis.call('GET', accepted) or 0) - tonumber(redis.call('GET', ended) or 0))
redis.call('ZADD', KEYS[10], redis.call('INCR', KEYS[11]), job)
redis.call('SADD', KEYS[12], job)
redis.call('EXPIRE', KEYS[12], """ + str(computation.KEPT_S) + """)
redis.call('HSET', callers, job, ARGV[5])
redis.call('HINCRBY', counts, caller .. ' jobs', 1)
redis.call('HINCRBY', counts, caller .. ' bytes', bytes)
redis.call('HINCRBY', counts, 'bytes', bytes)
local behind = 0
if ARGV[7] == 'taken' then redis.call('LPUSH', KEYS[9], job) else behind = waiting - enter(job) end
local total_ms = redis.call('INCRBYFLOAT', accepted, predicted_ms)
local before_ms = total_ms - backlog_ms * behind / math.max(1, jobs)
redis.call('HSET', KEYS[7], '""" + ACCEPTED + """', string.format('%.3f', before_ms))
return 1
"""


class Acceptance:
    """A web process's way into the queue. `in_thread` runs the store's calls where they block nobody."""

    def __init__(self, queue: Turns, images: Images, results: Results, settings: Settings, backlog: Backlog,
                 in_thread: Callable[[Callable[[], Any]], Any]) -> None:
        self._queue, self._images, self._results, self._settings = queue, images, results, settings
        self._backlog, self._in_thread = backlog, in_thread
        self._doubts = Doubts(self._take_back)

    def queue(self, request: JobRequest, image: bytes) -> str:
        """Accept a job that is to wait; returns its id.

        Raises:
            QueueFull, NotInTime, QueueUnavailable, RedisError, OSError: nothing is accepted.
        """
        look = self._look(request, len(image))
        self._backlog.check_deadline(request.deadline_s, look.share_behind)
        return self._take(request, image, look, runs=False)

    def register(self, request: JobRequest, image: bytes, owner: str) -> Execution:
        """Accept a job that `owner` runs already.

        Raises:
            QueueFull, QueueUnavailable, RedisError, OSError: nothing is accepted.
        """
        look = self._look(request, len(image))
        job_id = self._take(request, image, look, runs=True)
        try:
            return _begun(self._queue, job_id, owner)
        except (RedisError, QueueUnavailable):
            self._doubt(job_id, request)
            raise

    def _look(self, request: JobRequest, image_bytes: int) -> Look:
        """Raises QueueFull, RedisError."""
        look = self._queue.look(request.caller)
        self._backlog.check_room(look, image_bytes)
        self._results.check_room(self._settings.queue_max_mb, lambda: first_over_s(self._queue))
        return look

    def _take(self, request: JobRequest, image: bytes, look: Look, runs: bool) -> str:
        job = self._job(request, look.now_s)
        try:
            self._in_thread(lambda: self._images.put(job.id, image))
            write(self._queue, job, request, len(image), latest_s(look), runs)
        except KeyInUse:
            self._in_thread(lambda: self._images.delete(job.id))
            raise
        except (RedisError, QueueUnavailable):
            self._doubt(job.id, request)
            raise
        return job.id

    def _doubt(self, job_id: str, request: JobRequest) -> None:
        """The job may have been accepted though its caller is told otherwise. With an Idempotency-Key it stays: by the
        key its caller gets it when he tries again."""
        if request.claim is None:
            self._doubts.add(job_id)

    def _take_back(self, job_id: str) -> None:
        take_back(self._queue, job_id)
        self._in_thread(lambda: self._images.delete(job_id))

    def _job(self, request: JobRequest, now_s: float) -> Job:
        deadline_at = None if request.deadline_s is None else now_s + request.deadline_s
        return self._queue.create_job(
            TASK, kwargs={"model_type": request.model_type, "parameters": request.parameters,
                          "deadline_at": deadline_at},
            job_id=uuid.uuid4().hex, description=f"predict {request.model_type}, request {request.request_id}",
            status=JobStatus.QUEUED, timeout=self._settings.job_timeout_s, result_ttl=self._settings.result_ttl_s,
            failure_ttl=self._settings.result_ttl_s, retry=Retry(max=RETRIES),
            meta={"model_type": request.model_type, "predicted_ms": request.predicted_ms, "accepted_at": now_s,
                  "request_id": request.request_id, "tiles": request.tiles, "owner": request.owner,
                  "webhook": webhooks.to_meta(request.webhook), "fingerprint": request.fingerprint,
                  "computation": request.computation})


def latest_s(look: Look) -> float:
    """Until when the queue server may take what is sent now, by its own clock."""
    return look.now_s + (time.monotonic() - look.heard_at) + TAKEN_WITHIN_S


def write(queue: Turns, job: Job, request: JobRequest, image_bytes: int, latest: float, runs: bool) -> None:
    """Write down a job and count it in. One that `runs` already is not queued: it is as if a worker had taken it.

    Raises:
        QueueUnavailable: the queue server was reached too late, and took nothing.
        KeyInUse: the request lost its claim to its Idempotency-Key.
        RedisError: it took nothing, or its answer is lost.
    """
    caller, claim = request.caller, request.claim or Claim("", "")
    predicted_ms = f"{job.meta['predicted_ms']:.3f}"
    job.enqueued_at = now()
    fields = [part for pair in job.to_dict().items() for part in pair]
    taken = run(queue.connection, ACCEPT, queue, job.id, caller, image_bytes, predicted_ms,
                entry(caller, image_bytes, predicted_ms), latest, "taken" if runs else "queued",
                claim.token, job.result_ttl or 1, *fields,
                more_keys=(job.key, queue.redis_queues_keys, queue.intermediate_queue_key,
                           index_of(owner_of(job), queue.name), key(queue.name, NUMBERED),
                           computation.asking_key(job), claim.name))
    if taken < 0:
        raise KeyInUse
    if not taken:
        raise QueueUnavailable(AWAY)


def take_back(queue: Turns, job_id: str) -> None:
    """Make a job as if it had never been. One that has ended meanwhile stays until its time is over. Raises RedisError.
    """
    def move(pipeline: Pipeline, standing: Standing) -> None:
        if standing.executions:
            send_stop(pipeline, standing)
        standing.forget(pipeline, *standing.executions)
        forget(pipeline, queue, job_id)
        computation.ask_no_more(pipeline, standing.job)
        forget_accepted(pipeline, queue.name, owner_of(standing.job), job_id)
        webhooks.forget(pipeline, standing.job)
        pipeline.delete(standing.job.key)

    change(queue, job_id, lambda standing: move if standing.can_run else None)


def _begun(queue: Turns, job_id: str, owner: str) -> Execution:
    """Raises RedisError, and QueueUnavailable where it took so long that a worker has the job."""
    begun: list[Execution] = []
    if not begin(queue, job_id, lambda pipeline, job: begun.append(register(pipeline, job, owner))):
        raise QueueUnavailable(AWAY)
    return begun[-1]
