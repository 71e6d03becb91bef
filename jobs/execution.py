"""An execution of a job: how it begins, how it is kept alive, and how a job ends - once, whoever else tries.

Workers, web processes (for promoted jobs), cancellations and recoveries all change jobs, in the way of standing.py.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from redis.client import Pipeline
from rq import Queue
from rq.command import send_command
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry, FailedJobRegistry, FinishedJobRegistry
from rq.results import Result
from rq.utils import utcformat

from jobs import computation, webhooks
from jobs.backlog import note_pace
from jobs.clock import moment
from jobs.events import announce
from jobs.job import CANCELED, DEADLINE, Outcome, State
from jobs.lifetimes import SPARE_S, note_ended
from jobs.results import MAX_RESULT_BYTES
from jobs.standing import EXECUTION, OUTCOME, Move, Say, Standing, change
from jobs.totals import count_end
from jobs.turns import forget

# Who executes a job says each HEARTBEAT_S that it goes on; after HEARTBEAT_TTL_S without a word it is given up.
HEARTBEAT_S = 3
HEARTBEAT_TTL_S = 15
TILES_DONE = "punnet_tiles_done"  # a field of the job's hash
log = logging.getLogger(__name__)


def register(pipeline: Pipeline, job: Job, owner: str) -> Execution:
    """Write down that `owner`, a worker or a web process, executes the job from now on."""
    job.prepare_for_execution(owner, pipeline=pipeline)
    pipeline.hdel(job.key, TILES_DONE, OUTCOME)  # of an execution that came to nothing, or that RQ's tools requeued
    execution = Execution.create(job, HEARTBEAT_TTL_S, pipeline, worker_name=owner)
    computation.compute(pipeline, execution)
    pipeline.hset(job.key, EXECUTION, execution.id)
    webhooks.note_start(pipeline, job)
    announce(pipeline, job.id, job.origin)
    return execution


def note_begun(pipeline: Pipeline, job: Job, time_s: float) -> None:
    """Date the execution by the queue server's clock; RQ has dated it by this machine's."""
    job.started_at = moment(time_s)
    pipeline.hset(job.key, "started_at", utcformat(job.started_at))


def begin(queue: Queue, job_id: str, register_it: Callable[[Pipeline, Job], object], asked: str = "") -> bool:
    """Register a job that was just taken from the queue, and that asks for this computation. False where it was
    canceled, ended or requeued meanwhile, and where it is deferred because another's execution computes the same."""
    deferred = False

    def move(pipeline: Pipeline, standing: Standing) -> None:
        standing.forget(pipeline)
        if deferred:
            computation.join(pipeline, standing.job)
        else:
            register_it(pipeline, standing.job)
            note_begun(pipeline, standing.job, standing.time_s)

    def decide(standing: Standing) -> Move | None:
        nonlocal deferred
        deferred = standing.is_computed
        return move if standing.can_run and not standing.waits and not standing.executions else None

    if change(queue, job_id, decide, asked):
        return not deferred
    change(queue, job_id, lambda standing: None if standing.can_run else _forget())
    return False


def end(queue: Queue, job_id: str, execution_id: str, outcome: Outcome, result: bytes = b"",
        took_ms: float | None = None) -> bool:
    """End a job with what came of its execution; False where the job is not that execution's any more. `took_ms` is
    what a worker took for it."""
    if _end(queue, job_id, lambda standing: execution_id in standing.executions, outcome, result, took_ms):
        return True
    # It went on for others after its own job had been canceled.
    change(queue, job_id, lambda standing: _forget(execution_id) if execution_id in standing.executions else None)
    return False


def end_joined(queue: Queue, job_id: str, outcome: Outcome, result: bytes = b"") -> bool:
    """End a job that nobody executes with what came of another's execution; False where it runs or has ended. To those
    who are told of it, it begins and ends at once."""
    return _end(queue, job_id, lambda standing: not standing.executions, outcome, result, begins=True)


def cancel(queue: Queue, job_id: str) -> bool:
    """End a job as canceled wherever it stands, and tell the worker that executes it; False where it had ended. The
    execution goes on where another job asks for the same."""
    def move(pipeline: Pipeline, standing: Standing) -> Say:
        over = replace(standing, executions=()) if computation.others_asking(standing.job) else standing
        return write_end(pipeline, over, Outcome(kind=CANCELED))

    return change(queue, job_id, lambda standing: move if standing.can_run else None)


def miss(queue: Queue, job_id: str) -> bool:
    """End a job that its caller's deadline found waiting; False where it runs or has ended."""
    outcome = Outcome(kind=DEADLINE, detail="it had not begun when its time was over")
    return _end(queue, job_id, lambda standing: not standing.executions, outcome)


def write_end(pipeline: Pipeline, standing: Standing, outcome: Outcome, result: bytes = b"") -> Say:
    """Write down a job's end, in the transaction of `change`: in RQ's terms, for its readers and for those who wait.
    Returns what logs it."""
    job, ttl = standing.job, standing.job.result_ttl or 1
    if standing.executions and outcome.kind == CANCELED:
        send_stop(pipeline, standing)
    standing.forget(pipeline, *standing.executions)
    computation.ask_no_more(pipeline, job)
    _file(pipeline, standing, outcome, ttl + SPARE_S)
    note_ended(pipeline, job, owner_of(job), standing.now_s + ttl, result if outcome.succeeded else None)
    count_end(pipeline, job.origin, _state(outcome), job.meta["model_type"])
    forget(pipeline, Queue(job.origin, connection=job.connection), job.id)
    webhooks.note_end(pipeline, job)
    announce(pipeline, job.id, job.origin)
    return _say_ended(standing, outcome)


def owner_of(job: Job) -> str:
    """Whose job it is; nobody's where there were no keys."""
    return job.meta.get("owner", "")


def _forget(*executions: str) -> Move:
    return lambda pipeline, standing: standing.forget(pipeline, *executions)


def _end(queue: Queue, job_id: str, may: Callable[[Standing], bool], outcome: Outcome, result: bytes = b"",
         took_ms: float | None = None, begins: bool = False) -> bool:
    if len(result) > MAX_RESULT_BYTES:
        outcome, result = _too_large(result), b""

    def move(pipeline: Pipeline, standing: Standing) -> Say:
        if begins:
            webhooks.note_start(pipeline, standing.job)
            note_begun(pipeline, standing.job, standing.time_s)
        if took_ms is not None and outcome.succeeded:
            note_pace(pipeline, queue, standing.job.meta["predicted_ms"], took_ms)
        return write_end(pipeline, standing, outcome, result)

    return change(queue, job_id, lambda standing: move if standing.can_run and may(standing) else None)


def _too_large(result: bytes) -> Outcome:
    return Outcome(kind="InferenceFailed", detail=(
        f"the result is {len(result) / 1e6:.0f} MB as JSON, at most {MAX_RESULT_BYTES / 1e6:.0f} are kept: "
        "ask for less of it, or for a smaller image"))


def _say_ended(standing: Standing, outcome: Outcome) -> Say:
    job, state = standing.job, _state(outcome)
    when = "before it began" if job.started_at is None else (
        f"after {(standing.time_s - job.started_at.timestamp()) * 1000:.0f} ms")
    if state == "failed":
        return partial(log.warning, "job %s failed %s: %s: %s", job.id, when, outcome.kind, outcome.detail)
    return partial(log.info, "job %s %s %s", job.id, state, when)


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
