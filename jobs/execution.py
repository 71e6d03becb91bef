"""An execution of a job: how it begins, how it is kept alive, and how a job ends - once, whoever else tries.

Workers, web processes (for promoted jobs), cancellations and recoveries all change jobs. Each change of a job's state
writes the job's hash. So who watches that hash, decides, and writes in one transaction is never overtaken by another.
"""

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from redis.client import Pipeline
from redis.exceptions import WatchError
from rq import Queue
from rq.command import send_command
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry, FailedJobRegistry, FinishedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import utcformat

from jobs import webhooks
from jobs.clock import moment
from jobs.deferral import deferred_key, forget_deferral
from jobs.events import announce
from jobs.job import CANCELED, DEADLINE, Outcome, State
from jobs.keys import key
from jobs.lifetimes import CLOCK, SPARE_S, note_ended
from jobs.results import MAX_RESULT_BYTES
from jobs.totals import count_end
from jobs.turns import forget

# Who executes a job says each HEARTBEAT_S that it goes on; after HEARTBEAT_TTL_S without a word it is given up.
HEARTBEAT_S = 3
HEARTBEAT_TTL_S = 15
# Fields of the job's hash, beside RQ's own.
OUTCOME, TILES_DONE, DEATHS = "punnet_outcome", "punnet_tiles_done", "punnet_deaths"
ACCEPTED = "punnet_accepted_ms"  # the sum of turns.py with this job, less what comes after it
ENDED = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)
# All that is known of a job, at one moment. KEYS: its hash, the registry of running jobs, the queue, the list of jobs
# that were just taken, the clock of lifetimes.py, and the registry of deferred jobs. ARGV: the job.
LOOK = """
local executions = {}
for _, entry in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local of_job = ARGV[1] .. ':'
  if string.sub(entry, 1, #of_job) == of_job then table.insert(executions, string.sub(entry, #of_job + 1)) end
end
local waits = redis.call('LPOS', KEYS[3], ARGV[1]) or redis.call('ZSCORE', KEYS[6], ARGV[1])
return {redis.call('HGETALL', KEYS[1]), executions, waits and 1 or 0,
        redis.call('LPOS', KEYS[4], ARGV[1]) and 1 or 0, redis.call('GET', KEYS[5]) or '0', redis.call('TIME')}
"""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """Where a job stands while nobody else changes it: it waits in the queue, or
    for a machine that has its model, or a worker took it from there and has
    not registered it yet, or `executions` are the ids of those that are registered. `outcome` is how Punnet's code
    ended it; `now_s` is by the clock of lifetimes.py, `time_s` by that of the queue server."""

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

    @property
    def can_run(self) -> bool:
        return self.exists and self.job.get_status(refresh=False) not in ENDED

    def forget(self, pipeline: Pipeline, *executions: str) -> None:
        """Take the job from the queue's lists, and these executions from the registry."""
        queue = Queue(self.job.origin, connection=self.job.connection)
        for waiting in (queue.key, queue.intermediate_queue_key):
            pipeline.lrem(waiting, 0, self.job.id)
        for execution_id in executions:
            owner = self.job.worker_name or ""
            Execution(execution_id, self.job.id, self.job.connection, owner).delete(self.job, pipeline)
        forget_deferral(pipeline, self.job)


Move = Callable[[Pipeline, Standing], None]


def change(queue: Queue, job_id: str, decide: Callable[[Standing], Move | None]) -> bool:
    """Do with the job what `decide` says about its standing; whether there was something to do.

    Raises:
        RedisError.
    """
    with queue.connection.pipeline() as pipeline:
        while True:
            try:
                pipeline.watch(Job.key_for(job_id))
                standing = _standing(pipeline, queue, job_id)
                move = decide(standing)
                if move is None:
                    return False
                pipeline.multi()
                move(pipeline, standing)
                pipeline.execute()
                return True
            except WatchError:
                continue  # somebody else changed the job: look again


def register(pipeline: Pipeline, job: Job, owner: str) -> Execution:
    """Write down that `owner`, a worker or a web process, executes the job from now on."""
    job.prepare_for_execution(owner, pipeline=pipeline)
    pipeline.hdel(job.key, TILES_DONE, OUTCOME)  # of an execution that came to nothing, or that RQ's tools requeued
    execution = Execution.create(job, HEARTBEAT_TTL_S, pipeline, worker_name=owner)
    webhooks.note_start(pipeline, job)
    announce(pipeline, job.id, job.origin)
    return execution


def note_begun(pipeline: Pipeline, job: Job, time_s: float) -> None:
    """Date the execution by the queue server's clock; RQ has dated it by this machine's."""
    job.started_at = moment(time_s)
    pipeline.hset(job.key, "started_at", utcformat(job.started_at))


def begin(queue: Queue, job_id: str, register_it: Callable[[Pipeline, Job], object]) -> bool:
    """Register a job that was just taken from the queue; False where it was canceled, ended or requeued meanwhile."""
    def move(pipeline: Pipeline, standing: Standing) -> None:
        standing.forget(pipeline)
        register_it(pipeline, standing.job)
        note_begun(pipeline, standing.job, standing.time_s)

    def decide(standing: Standing) -> Move | None:
        return move if standing.can_run and not standing.waits and not standing.executions else None

    if change(queue, job_id, decide):
        return True
    change(queue, job_id, lambda standing: None if standing.can_run else _forget)
    return False


def is_running(queue: Queue, execution: Execution) -> bool:
    """Whether the job is still this execution's: nobody ended the job or gave it to another."""
    return queue.connection.zscore(queue.started_job_registry.key, execution.composite_key) is not None


def end(queue: Queue, job_id: str, execution_id: str, outcome: Outcome, result: bytes = b"") -> bool:
    """End a job with what came of its execution; False where the job is not that execution's any more."""
    return _end(queue, job_id, lambda standing: execution_id in standing.executions, outcome, result)


def cancel(queue: Queue, job_id: str) -> bool:
    """End a job as canceled wherever it stands, and tell the worker that executes it; False where it had ended."""
    return _end(queue, job_id, lambda _: True, Outcome(kind=CANCELED))


def miss(queue: Queue, job_id: str) -> bool:
    """End a job that its caller's deadline found waiting; False where it runs or has ended."""
    outcome = Outcome(kind=DEADLINE, detail="it had not begun when its time was over")
    return _end(queue, job_id, lambda standing: not standing.executions, outcome)


def write_end(pipeline: Pipeline, standing: Standing, outcome: Outcome, result: bytes = b"") -> None:
    """Write down a job's end, in the transaction of `change`: in RQ's terms, for its readers and for those who wait."""
    job, ttl = standing.job, standing.job.result_ttl or 1
    if outcome.kind not in ("", CANCELED):
        log.warning("job %s ends as %s: %s", job.id, outcome.kind, outcome.detail)
    if standing.executions and outcome.kind == CANCELED:
        send_stop(pipeline, standing)
    standing.forget(pipeline, *standing.executions)
    _file(pipeline, standing, outcome, ttl + SPARE_S)
    note_ended(pipeline, job, owner_of(job), standing.now_s + ttl, result if outcome.succeeded else None)
    count_end(pipeline, job.origin, _state(outcome), job.meta["model_type"])
    forget(pipeline, Queue(job.origin, connection=job.connection), job.id)
    webhooks.note_end(pipeline, job)
    announce(pipeline, job.id, job.origin)


def owner_of(job: Job) -> str:
    """Whose job it is; nobody's where there were no keys."""
    return job.meta.get("owner", "")


def _forget(pipeline: Pipeline, standing: Standing) -> None:
    standing.forget(pipeline)


def _end(queue: Queue, job_id: str, may: Callable[[Standing], bool], outcome: Outcome, result: bytes = b"") -> bool:
    if len(result) > MAX_RESULT_BYTES:
        outcome, result = _too_large(result), b""

    def move(pipeline: Pipeline, standing: Standing) -> None:
        write_end(pipeline, standing, outcome, result)

    return change(queue, job_id, lambda standing: move if standing.can_run and may(standing) else None)


def _too_large(result: bytes) -> Outcome:
    return Outcome(kind="InferenceFailed", detail=(
        f"the result is {len(result) / 1e6:.0f} MB as JSON, at most {MAX_RESULT_BYTES / 1e6:.0f} are kept: "
        "ask for less of it, or for a smaller image"))


def _state(outcome: Outcome) -> State:
    return "succeeded" if outcome.succeeded else "canceled" if outcome.kind == CANCELED else "failed"


def _file(pipeline: Pipeline, standing: Standing, outcome: Outcome, ttl: int) -> None:
    """The job's status, its registry and why it failed, as `rq info` and rq-dashboard show them."""
    job, state = standing.job, _state(outcome)
    status, registry = {"succeeded": (JobStatus.FINISHED, FinishedJobRegistry),
                        "canceled": (JobStatus.CANCELED, CanceledJobRegistry)}.get(
                            state, (JobStatus.FAILED, FailedJobRegistry))
    pipeline.hset(job.key, mapping={"status": status, "ended_at": utcformat(moment(standing.time_s)),
                                    OUTCOME: json.dumps(outcome.to_json())})
    pipeline.zadd(registry(job.origin, job.connection).key, {job.id: standing.time_s + ttl})
    if status is JobStatus.FAILED:
        Result.create_failure(job, ttl, f"{outcome.kind}: {outcome.detail}", job.worker_name or "", pipeline)


def send_stop(pipeline: Pipeline, standing: Standing) -> None:
    for execution_id in standing.executions:
        send_command(pipeline, standing.job.worker_name or "", "stop-execution", job_id=standing.job.id,
                     execution_id=execution_id)


def _standing(pipeline: Pipeline, queue: Queue, job_id: str) -> Standing:
    keys = (Job.key_for(job_id), queue.started_job_registry.key, queue.key, queue.intermediate_queue_key,
            key(queue.name, CLOCK), deferred_key(queue.name))
    found, executions, waits, taken, now_s, time_s = cast(Any, pipeline.eval(LOOK, len(keys), *keys, job_id))
    fields = dict(zip(found[::2], found[1::2], strict=True))
    job = Job(job_id, queue.connection, JSONSerializer)
    with suppress(NoSuchJobError):
        job.restore(fields)
    job.origin = queue.name
    return Standing(job, b"data" in fields, bool(waits), bool(taken), tuple(map(bytes.decode, executions)),
                    int(fields.get(DEATHS.encode(), 0)), float(now_s), int(time_s[0]) + int(time_s[1]) / 1e6,
                    float(fields.get(ACCEPTED.encode(), 0)), fields.get(OUTCOME.encode()))
