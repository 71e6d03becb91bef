"""What a worker does with a job: it asks a predictor, follows the run, and says what came of it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rq.executions import Execution

from inference.cost import Snapshot, snapshot_of
from inference.errors import CalledOff, InferenceError, ModelLoading, ModelNotFound, Overdue, PredictorsAway
from jobs.errors import ImageLost
from jobs.images import Images
from jobs.job import CANCELED, DEADLINE, WORKER_LOST, Outcome
from jobs.machines import Machines
from jobs.results import Results
from metrics.numbers import Numbers
from metrics.predictions import count_cost
from predictors.catalogue import Catalogue
from predictors.client import Prediction, Predictors, Run

PROGRESS_S = 0.25  # between two notes of progress
ASK_AGAIN_S = 0.25  # while predictors are away or models load
STORE_PAUSE_S = 1.0  # while the store is away
log = logging.getLogger(__name__)


class NotHere(Exception):
    """This machine has not the model of a job, but another one may."""


@dataclass(frozen=True)
class Task:
    """A job as its worker sees it. `left_s` is the time until its caller's deadline."""

    job_id: str
    model_type: str
    parameters: Mapping[str, Any]
    left_s: float | None
    timeout_s: float
    predicted_ms: float = 0.0
    request_id: str = "-"
    execution_id: str = ""

    @classmethod
    def of(cls, execution: Execution) -> "Task":
        """Of a job's execution that begins now."""
        job = execution.job
        given, deadline_at = job.kwargs, job.kwargs["deadline_at"]
        assert job.started_at is not None, "it has begun"
        left_s = None if deadline_at is None else deadline_at - job.started_at.timestamp()
        return cls(job.id, given["model_type"], given["parameters"], left_s, float(job.timeout or 0),
                   job.meta["predicted_ms"], job.meta["request_id"], execution.id)


class OffSwitch:
    """Calls a job's run off, from any thread: at once, or as soon as there is a run."""

    def __init__(self) -> None:
        self._off = threading.Event()
        self._run: Run[Prediction] | None = None

    def off(self) -> None:
        self._off.set()
        if self._run is not None:
            self._run.call_off()

    def connect(self, run: Run[Prediction]) -> Run[Prediction]:
        """From now on the switch is this run's."""
        self._run = run
        if self._off.is_set():
            run.call_off()
        return run

    def check(self, timeout_s: float = 0) -> None:
        """Raises CalledOff, also where it is switched off within `timeout_s`."""
        if self._off.wait(timeout_s):
            raise CalledOff("the job was canceled")


@dataclass(frozen=True)
class Limit:
    """Until when a job may run, of time.monotonic: its caller's deadline or PUNNET_JOB_TIMEOUT_S."""

    at: float
    is_callers: bool

    @classmethod
    def of(cls, task: Task) -> "Limit":
        now, left_s = time.monotonic(), float("inf") if task.left_s is None else task.left_s
        return cls(now + min(left_s, task.timeout_s), left_s < task.timeout_s)

    def check(self) -> None:
        """Raises Overdue."""
        if time.monotonic() >= self.at:
            raise Overdue("it had not begun when its time was over")

    def outcome(self, error: Overdue) -> Outcome:
        if self.is_callers:
            return Outcome(kind=Overdue.__name__, detail=str(error))
        return Outcome(kind=DEADLINE, detail="the job ran longer than PUNNET_JOB_TIMEOUT_S allows")


@dataclass(frozen=True)
class Tasks:
    """What a worker runs its jobs with."""

    predictors: Predictors
    catalogue: Catalogue
    images: Images
    results: Results
    note_progress: Callable[[str, str, int], None]
    give_costs: Callable[[Snapshot], None]
    exchange_poison: Callable[[], None]
    numbers: Numbers
    machines: Machines | None = None  # none where no other machine can have the queue

    def may_run(self, model_type: str, fingerprint: str) -> bool:
        """Whether a job that was accepted for this model is this machine's to run. Raises RedisError."""
        if self.machines is None:
            return True
        return self.machines.may_run(self.catalogue.fingerprints.get(model_type), model_type, fingerprint)

    def run(self, task: Task, switch: OffSwitch) -> tuple[Outcome, bytes]:
        """How the job ends, and what of its result is to be written down (results.py). What an inline call would have
        been refused for is an outcome; only trouble of the machinery is raised, so that only that is tried again.

        Raises:
            NotHere: the model is gone from this machine just now.
        """
        limit = Limit.of(task)
        try:
            image = _patiently(lambda: self.images.get(task.job_id), task, limit, switch)
            prediction = self._prediction(task, image, limit, switch)
            written = _patiently(lambda: self.results.put(task.job_id, prediction.result), task, limit, switch)
            return _success(prediction), written
        except CalledOff:
            return Outcome(kind=CANCELED), b""
        except Overdue as error:
            return limit.outcome(error), b""
        except InferenceError as error:
            return Outcome(kind=type(error).__name__, detail=str(error)), b""
        except ImageLost as error:
            return Outcome(kind=WORKER_LOST, detail=f"{error}; post the image again"), b""

    def _prediction(self, task: Task, image: bytes, limit: Limit, switch: OffSwitch) -> Prediction:
        """Ask until somebody answers: predictors may be restarting, and models may still be loading."""
        while True:
            switch.check()
            limit.check()
            try:
                return self._ask(task, image, limit, switch)
            except (PredictorsAway, ModelLoading) as error:
                log.info("job %s waits: %s", task.job_id, error)
            except ModelNotFound:
                if self.machines is not None:
                    raise NotHere(task.model_type) from None
                if self.catalogue.is_ready:
                    raise
            switch.check(min(ASK_AGAIN_S, max(0.0, limit.at - time.monotonic())))

    def _ask(self, task: Task, image: bytes, limit: Limit, switch: OffSwitch) -> Prediction:
        run = switch.connect(self.predictors.predict("job", task.model_type, task.parameters, image, limit.at,
                                                     request_id=task.request_id))
        noted = 0
        while not run.wait(PROGRESS_S):
            done, _ = run.progress
            if done > noted:
                noted = done
                self.note_progress(task.job_id, task.execution_id, done)
        prediction = run.result()
        self.give_costs(snapshot_of(prediction.samples, time.time()))
        core_ms = sum(ms for _, _, ms in prediction.samples)
        count_cost(self.numbers, task.model_type.partition(":")[0], "job", core_ms, task.predicted_ms)
        return prediction


def _patiently(call: Callable[[], bytes], task: Task, limit: Limit, switch: OffSwitch) -> bytes:
    """A store that is away is waited for, as predictors are."""
    while True:
        try:
            return call()
        except OSError as error:
            log.warning("job %s waits for the store: %s", task.job_id, error)
        switch.check(STORE_PAUSE_S)
        limit.check()


def _success(prediction: Prediction) -> Outcome:
    return Outcome(model_version=prediction.model_version, image=prediction.image, timings_ms=prediction.timings_ms)
