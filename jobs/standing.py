"""Where a job stands, and how that is changed.

Each change of a job's state writes the job's hash. So who watches that hash, decides, and writes in one transaction is
never overtaken by another.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from redis.client import Pipeline
from redis.exceptions import WatchError
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from jobs import computation
from jobs.deferral import deferred_key, forget_deferral
from jobs.keys import key
from jobs.lifetimes import CLOCK

# Fields of the job's hash, beside RQ's own: how it ended, and how many workers died while they ran it.
OUTCOME, DEATHS = "punnet_outcome", "punnet_deaths"
EXECUTION = "punnet_execution"  # the newest; it goes on while it is in the registry
ACCEPTED = "punnet_accepted_ms"  # the sum of turns.py with this job, less what comes after it
ENDED = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)
# All that is known of a job, at one moment. KEYS: its hash, the registry of running jobs, the queue, the list of jobs
# that were just taken, the clock of lifetimes.py, the registry of deferred jobs, and what names the execution of a
# computation. ARGV: the job, and the field of its hash that names its execution. The queue may be long: it is looked
# through only for who can be in it.
LOOK = """
local executions, execution = {}, redis.call('HGET', KEYS[1], ARGV[2])
if execution and redis.call('ZSCORE', KEYS[2], ARGV[1] .. ':' .. execution) then executions = {execution} end
local status, taken = redis.call('HGET', KEYS[1], 'status'), redis.call('LPOS', KEYS[4], ARGV[1])
local waits = not taken and status ~= 'started' and redis.call('LPOS', KEYS[3], ARGV[1])
  or redis.call('ZSCORE', KEYS[6], ARGV[1])
local computing = redis.call('GET', KEYS[7])
local computed = computing and redis.call('ZSCORE', KEYS[2], computing)
return {redis.call('HGETALL', KEYS[1]), executions, waits and 1 or 0, taken and 1 or 0,
        redis.call('GET', KEYS[5]) or '0', redis.call('TIME'), computed and 1 or 0}
"""


@dataclass(frozen=True)
class Standing:
    """Where a job stands while nobody else changes it: it waits in the queue,
    for a machine that has its model or for the end of another that asks for the same, or a worker took it from there
    and has not registered it yet, or `executions` are the ids of those that are registered. `outcome` is how Punnet's
    code ended it; `now_s` is by the clock of lifetimes.py, `time_s` by that of the queue server. `is_computed` tells
    whether an execution, of any job, computes what was asked about."""

    job: Job
    exists: bool
    waits: bool
    taken: bool
    executions: tuple[str, ...]
    deaths: int
    now_s: float
    time_s: float
    accepted_ms: float
    outcome: bytes | None = None
    is_computed: bool = False

    @property
    def can_run(self) -> bool:
        return self.exists and self.job.get_status(refresh=False) not in ENDED

    def forget(self, pipeline: Pipeline, *executions: str) -> None:
        """Take the job from the queue's lists, and these executions from the registry."""
        queue = Queue(self.job.origin, connection=self.job.connection)
        if self.waits:
            pipeline.lrem(queue.key, 0, self.job.id)
        if self.waits or self.taken:  # a worker may take it just now
            pipeline.lrem(queue.intermediate_queue_key, 0, self.job.id)
        for execution_id in executions:
            owner = self.job.worker_name or ""
            Execution(execution_id, self.job.id, self.job.connection, owner).delete(self.job, pipeline)
            computation.compute_no_more(pipeline, self.job)
        forget_deferral(pipeline, self.job)
        computation.forget_joining(pipeline, self.job)


Say = Callable[[], None]  # logs a change once it is made: one that somebody came between is tried again
Move = Callable[[Pipeline, Standing], Say | None]


def change(queue: Queue, job_id: str, decide: Callable[[Standing], Move | None], asked: str = "") -> bool:
    """Do what `decide` says about the job's standing, and about the computation that is `asked` for; whether there was
    a move.

    Raises:
        RedisError.
    """
    watched = [Job.key_for(job_id), *([computation.computing_key(queue, asked)] if asked else [])]
    with queue.connection.pipeline() as pipeline:
        while True:
            try:
                pipeline.watch(*watched)
                standing = _standing(pipeline, queue, job_id, asked)
                move = decide(standing)
                if move is None:
                    return False
                pipeline.multi()
                say = move(pipeline, standing)
                pipeline.execute()
                if say is not None:
                    say()
                return True
            except WatchError:
                continue  # somebody else changed the job: look again


def _standing(pipeline: Pipeline, queue: Queue, job_id: str, asked: str) -> Standing:
    keys = (Job.key_for(job_id), queue.started_job_registry.key, queue.key, queue.intermediate_queue_key,
            key(queue.name, CLOCK), deferred_key(queue.name), computation.computing_key(queue, asked))
    looked = cast(Any, pipeline.eval(LOOK, len(keys), *keys, job_id, EXECUTION))
    found, executions, waits, taken, now_s, time_s, is_computed = looked
    fields = dict(zip(found[::2], found[1::2], strict=True))
    job = Job(job_id, queue.connection, JSONSerializer)
    with suppress(NoSuchJobError):
        job.restore(fields)
    job.origin = queue.name
    return Standing(job, b"data" in fields, bool(waits), bool(taken), tuple(map(bytes.decode, executions)),
                    int(fields.get(DEATHS.encode(), 0)), float(now_s), int(time_s[0]) + int(time_s[1]) / 1e6,
                    float(fields.get(ACCEPTED.encode(), 0)), fields.get(OUTCOME.encode()), bool(is_computed))
