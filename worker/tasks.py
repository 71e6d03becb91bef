"""What RQ calls by name, and nothing else."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from inference.errors import InferenceError, InferenceFailed, Overdue
from inference.model import Prediction
from inference.stop import Stop
from jobs.errors import ImageLost
from jobs.outcome import DEADLINE, WORKER_LOST, Outcome
from worker.runtime import Runtime, catch_up, runtime

log = logging.getLogger(__name__)
PROGRESS_S = 0.25
MAX_RESULT_BYTES = 200_000_000


class Progress:
    """Tells the queue server of finished tiles, at most every PROGRESS_S."""

    def __init__(self, job_id: str, note: Callable[[str, int], None]) -> None:
        self._job_id, self._note, self._noted_at = job_id, note, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._noted_at >= PROGRESS_S:
            self._noted_at = time.monotonic()
            self._note(self._job_id, done)


class Deadline(BaseException):
    """The job ran longer than it may. No Exception: it must pass through every handler on its way here."""


def _check_size(outcome: Outcome) -> None:
    """The queue server takes no value of 512 MB, and a worker would be lost in the writing of it.

    Raises:
        InferenceFailed.
    """
    try:
        size = len(json.dumps(outcome.to_json()))
    except (TypeError, ValueError) as error:
        raise InferenceFailed(f"the result cannot be written as JSON: {error}") from error
    if size > MAX_RESULT_BYTES:
        raise InferenceFailed(f"the result is {size / 1e6:.0f} MB as JSON, at most {MAX_RESULT_BYTES / 1e6:.0f} are "
                              "kept: ask for less of it, or for a smaller image")


def _keep(current: Runtime, job_id: str, image: bytes) -> None:
    """For pictures of the result. A full disk or queue server costs the pictures, not the result."""
    try:
        current.ended.put(job_id, image)
    except Exception as error:  # OSError of the folder, RedisError of an outside server
        log.warning("the image of job %s is not kept: %s", job_id, error)


@contextmanager
def _stopping_at(deadline_at: float | None) -> Iterator[Stop]:
    """Ends what runs inside at its deadline, in seconds since the epoch; what is late already does not begin."""
    stop = Stop()
    if deadline_at is None:
        yield stop
        return
    if deadline_at <= time.time():
        raise Overdue("it had not begun when its time was over")
    timer = threading.Timer(deadline_at - time.time(), lambda: stop.end(Overdue("it did not end within its time")))
    timer.start()
    try:
        yield stop
    finally:
        timer.cancel()


def _run(current: Runtime, model_type: str, parameters: Mapping[str, Any], data: bytes, progress: Progress,
         stop: Stop) -> Prediction:
    engine = current.engine
    model, image = engine.model(model_type), engine.open(data)
    checked = model.parameters(parameters)
    work = engine.workload(model, image.info, checked)
    with current.way.working():
        prediction = model.predict(image, checked, progress, stop)
    engine.observe(work, prediction)
    return prediction


def predict(job_id: str, model_type: str, parameters: Mapping[str, Any], model_mark: str = "",
            deadline_at: float | None = None) -> dict[str, Any]:
    """Run one job. What an inline call would have been refused for is an outcome; only trouble of the machinery
    is raised, so that only that is tried again."""
    current = runtime.get()
    try:
        catch_up(current, model_type, model_mark)
        data = current.store.get(job_id)
        with _stopping_at(deadline_at) as stop:
            prediction = _run(current, model_type, parameters, data, Progress(job_id, current.note_progress), stop)
        outcome = Outcome(prediction=prediction.to_dict())
        _check_size(outcome)
        _keep(current, job_id, data)
    except InferenceError as error:
        outcome = Outcome(kind=type(error).__name__, detail=str(error))
    except ImageLost as error:
        outcome = Outcome(kind=WORKER_LOST, detail=f"{error}; post the image again")
    except Deadline:
        outcome = Outcome(kind=DEADLINE, detail="the job ran longer than PUNNET_JOB_TIMEOUT_S allows")
    if not outcome.succeeded:
        log.warning("job %s ends as %s: %s", job_id, outcome.kind, outcome.detail)
    return outcome.to_json()
