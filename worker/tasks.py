"""What RQ calls by name, and nothing else."""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from inference.engine import Engine
from inference.errors import InferenceError
from jobs.errors import ImageLost
from jobs.outcome import DEADLINE, WORKER_LOST, Outcome
from jobs.store import ImageStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """What a warm worker holds ready for its jobs."""

    engine: Engine
    store: ImageStore


class Deadline(BaseException):
    """The job ran longer than it may. No Exception: it must pass through every handler on its way here."""


# RQ names a function and knows nothing of objects: the worker's child sets this once, before its first job.
runtime: ContextVar[Runtime] = ContextVar("runtime")


def predict(job_id: str, model_type: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run one job. What an inline call would have been refused for is an outcome; only trouble of the machinery
    is raised, so that only that is tried again."""
    current = runtime.get()
    try:
        image = current.engine.open(current.store.get(job_id))
        checked = current.engine.parameters(model_type, parameters)
        outcome = Outcome(prediction=current.engine.predict(model_type, image, checked).to_dict())
    except InferenceError as error:
        outcome = Outcome(kind=type(error).__name__, detail=str(error))
    except ImageLost as error:
        outcome = Outcome(kind=WORKER_LOST, detail=f"{error}; post the image again")
    except Deadline:
        outcome = Outcome(kind=DEADLINE, detail="the job ran longer than PUNNET_JOB_TIMEOUT_S allows")
    if not outcome.succeeded:
        log.warning("job %s ends as %s: %s", job_id, outcome.kind, outcome.detail)
    return outcome.to_json()
