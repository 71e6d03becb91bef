"""Results as pictures, for a caller whose `Accept` likes them better than JSON."""

from typing import cast

from api.answers import JSON, Picture
from api.services import Services
from inference.drawing import Kind, check_drawable
from inference.model import LoadedModel
from jobs.record import JobRecord


def check(kind: str, model: LoadedModel) -> None:
    """Raises NotDrawable, before anything runs, for a task whose results no picture shows."""
    if kind != JSON:
        check_drawable(model.spec.task)


def of_result(service: Services, kind: str, data: bytes, result: dict) -> Picture | None:
    """The result drawn on its image, in the long lane: it takes as long as decoding and encoding at full size.

    Raises:
        NotDrawable.
    """
    if kind == JSON:
        return None
    wanted = cast(Kind, kind)
    return Picture(wanted, service.lanes.long.run(lambda: service.engine.picture(data, result, wanted))[0])


def of_job(service: Services, kind: str, record: JobRecord) -> Picture | None:
    """A job's result drawn on the image that was kept; None for one that has no result.

    Raises:
        NotDrawable, ImageLost.
    """
    if kind == JSON or record.outcome is None or record.outcome.prediction is None:
        return None
    return of_result(service, kind, service.queue.ended_image(record.id), record.outcome.prediction["result"])
