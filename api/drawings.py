"""Results drawn on their images, for a caller whose `Accept` likes an image better than JSON."""

import time

from flask import request

from api.accept import DRAWINGS, Wanted
from api.answers import File
from api.inline import seen_through
from api.services import Services
from inference.errors import NotDrawable
from inference.model_info import ModelInfo
from inference.spec import DRAWABLE_TASKS
from jobs.errors import ImageLost
from jobs.job import JobRecord


def check(wanted: Wanted, model: ModelInfo) -> None:
    """Raises NotDrawable, before anything runs, for a task whose results cannot be drawn, where JSON would not do. What
    hooks.py makes of the outputs is known only after the run."""
    if wanted.kind in DRAWINGS and not wanted.or_json and model.spec.task not in DRAWABLE_TASKS and not model.has_hooks:
        raise NotDrawable(f"{model.spec.task} has nothing to draw: ask for application/json")


def of_result(service: Services, wanted: Wanted, image: bytes, result: bytes, deadline: float) -> File | None:
    """The result drawn on its image by a predictor, or None for a caller who gets no drawing.

    Raises:
        NotDrawable: and JSON would not do. Overdue, CalledOff, PredictorsAway.
    """
    if wanted.kind not in DRAWINGS:
        return None
    run = service.predictors.draw(image, result, wanted.kind, deadline)
    try:
        return File(wanted.kind, seen_through(run, request.environ.get("gunicorn.socket"), deadline))
    except NotDrawable:
        if not wanted.or_json:
            raise
        return None


def of_job(service: Services, wanted: Wanted, record: JobRecord) -> File | None:
    """A job's result drawn on the image that was kept, or None for a job that has no result.

    Raises:
        NotDrawable, ImageLost: and JSON would not do. Overdue, CalledOff, PredictorsAway.
    """
    if wanted.kind not in DRAWINGS or record.state != "succeeded":
        return None
    try:
        image = service.queue.ended_image(record.id)
    except ImageLost:
        if not wanted.or_json:
            raise
        return None
    deadline = time.monotonic() + service.settings.job_timeout_s
    return of_result(service, wanted, image, record.result, deadline)
