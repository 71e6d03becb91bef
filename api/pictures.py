"""Results as pictures, for a caller whose `Accept` likes them better than JSON."""

from typing import cast

from api.answers import JSON, Picture, Wanted
from api.services import Services
from inference.drawing import Kind, check_drawable
from inference.errors import NotDrawable
from inference.model import LoadedModel
from jobs.errors import ImageLost
from jobs.record import JobRecord


def check(wanted: Wanted, model: LoadedModel) -> None:
    """Raises NotDrawable, before anything runs, for a task whose results no picture shows, where JSON would not do."""
    if not wanted.or_json:
        check_drawable(model.spec.task)


def of_result(service: Services, wanted: Wanted, data: bytes, result: dict) -> Picture | None:
    """The result drawn on its image, in the long lane: it takes as long as decoding and encoding at full size.

    Raises:
        NotDrawable: and JSON would not do.
    """
    if wanted.kind == JSON:
        return None
    kind = cast(Kind, wanted.kind)
    try:
        return Picture(kind, service.lanes.long.run(lambda: service.engine.picture(data, result, kind))[0])
    except NotDrawable:
        if not wanted.or_json:
            raise
        return None


def of_job(service: Services, wanted: Wanted, record: JobRecord) -> Picture | None:
    """A job's result drawn on the image that was kept; None for one that has no result.

    Raises:
        NotDrawable, ImageLost: and JSON would not do.
    """
    if wanted.kind == JSON or record.outcome is None or record.outcome.prediction is None:
        return None
    try:
        image = service.queue.ended_image(record.id)
    except ImageLost:
        if not wanted.or_json:
            raise
        return None
    return of_result(service, wanted, image, record.outcome.prediction["result"])
