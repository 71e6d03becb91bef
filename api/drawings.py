"""Results drawn on their images, for a caller whose `Accept` likes an image better than JSON."""

import time
from collections.abc import MutableMapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from flask import g, request

from api.accept import DRAWINGS, Wanted
from api.answers import File
from api.inline import seen_through
from api.routing import Backlog, route_of_drawing
from api.services import Services
from inference.drawing.style import STYLE_FIELDS, style_of
from inference.errors import NotDrawable, SlowToDecode
from inference.image_info import ImageInfo
from inference.model_info import ModelInfo
from inference.spec import DRAWABLE_TASKS
from inference.workload import drawing
from jobs.errors import ImageLost
from jobs.job import JobRecord


def check(wanted: Wanted, model: ModelInfo) -> None:
    """Raises NotDrawable, before anything runs, for a task whose results cannot be drawn, where JSON would not do. What
    hooks.py makes of the outputs is known only after the run."""
    if wanted.kind in DRAWINGS and not wanted.or_json and model.spec.task not in DRAWABLE_TASKS and not model.has_hooks:
        raise NotDrawable(f"{model.spec.task} has nothing to draw: ask for application/json")


def styled(wanted: Wanted, values: MutableMapping[str, Any], model: ModelInfo | None = None) -> Wanted:
    """Take how a drawing is to look out of a caller's `values`, unless the model has parameters of these names.

    Raises:
        BadParameter.
    """
    own = {parameter.name for parameter in model.spec.parameters} if model else set()
    asked = {name: values.pop(name) for name in STYLE_FIELDS if name in values and name not in own}
    return replace(wanted, style=style_of(asked))


def of_result(service: Services, wanted: Wanted, image: bytes, info: ImageInfo, result: bytes,
              deadline: float) -> File | None:
    """The result drawn on its image by a predictor, or None for a caller who gets no drawing.

    Raises:
        NotDrawable: and JSON would not do. Overdue, CalledOff, PredictorsAway.
    """
    if wanted.kind not in DRAWINGS:
        return None
    try:
        return File(wanted.kind, _drawn(service, wanted, image, info, result, deadline))
    except NotDrawable:
        if not wanted.or_json:
            raise
        return None


def _drawn(service: Services, wanted: Wanted, image: bytes, info: ImageInfo, result: bytes, deadline: float) -> bytes:
    """A drawing costs more than its prediction, so it has a route of its own, and counts among the work on it."""
    predicted_ms = service.costs.predict_ms([drawing(info, wanted.kind)])
    route = route_of_drawing(predicted_ms, Backlog(long_ms=service.waiting.ms("long")), service.limits)
    ask = partial(service.predictors.draw, image=image, result=result, media_type=wanted.kind,
                  style=wanted.style.model_dump(), deadline=deadline, request_id=g.request_id)
    try:
        with service.waiting.counted("long", predicted_ms) if route == "long" else nullcontext():
            drawn = seen_through(ask(route), request.environ.get("gunicorn.socket"), deadline)
    except SlowToDecode:
        drawn = seen_through(ask("job"), request.environ.get("gunicorn.socket"), deadline)
    service.costs.observe(drawn.samples)
    return drawn.data


def of_job(service: Services, wanted: Wanted, record: JobRecord) -> File | None:
    """A job's result drawn on the image that was kept, or None for a job that has no result.

    Raises:
        NotDrawable, ImageLost: and JSON would not do. Overdue, CalledOff, PredictorsAway.
    """
    if wanted.kind not in DRAWINGS or record.state != "succeeded":
        return None
    try:
        image = service.queue.ended_image(record.id)
    except ImageLost as error:
        if not wanted.or_json:
            raise ImageLost(f"{error}; its result can still be read as application/json") from error
        return None
    deadline = time.monotonic() + service.settings.job_timeout_s
    assert record.outcome is not None and record.outcome.image is not None, "it has succeeded"
    info = ImageInfo(**record.outcome.image, size_bytes=len(image))
    return of_result(service, wanted, image, info, record.result, deadline)
