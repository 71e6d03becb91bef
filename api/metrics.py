"""/metrics: the numbers of this machine, and of the queue that machines share, as Prometheus reads them."""

from collections import Counter

from flask import Blueprint, Response

from api.services import Services, services
from jobs.errors import QueueUnavailable
from jobs.totals import Totals
from metrics import definitions, exposition
from metrics.sums import Sums, all_numbers
from version import VERSION

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    service = services()
    seen = _of_models(service) | _of_the_queue(service)
    body = service.intake.run(lambda: exposition.text(_of_processes(service) | seen))
    return Response(body, content_type=exposition.CONTENT_TYPE)


def _of_processes(service: Services) -> Sums:
    """What processes count, and what of it waits: all that is inline and open, but not with a predictor."""
    sums = all_numbers(service.settings.state.numbers, service.numbers)
    for route in ("quick", "long"):
        count, predicted_ms = service.waiting.open_work(route)
        [running] = sums.get((definitions.RUNNING.name, route), [0.0])
        sums[definitions.WAITING.name, route] = [max(0.0, count - running)]
        sums[definitions.INLINE_SECONDS.name, route] = [predicted_ms / 1000]
    sums[definitions.POISON_IMAGES.name,] = [float(service.predictors.poison_images())]
    sums[definitions.INFO.name, VERSION] = [1.0]
    return sums


def _of_models(service: Services) -> Sums:
    states = Counter(entry.state for entry in service.catalogue.entries)
    return {(definitions.MODELS.name, state): [float(states[state])] for state in ("loading", "ready", "failed")}


def _of_the_queue(service: Services) -> Sums:
    try:
        totals = service.totals.look()
    except QueueUnavailable:
        return {(definitions.QUEUE_SERVER.name,): [0.0]}
    return {(definitions.QUEUE_SERVER.name,): [1.0]} | _sums(totals)


def _sums(totals: Totals) -> Sums:
    jobs: Sums = {(definitions.JOBS.name, state): [float(count)] for state, count in totals.jobs.items()}
    ended: Sums = {(definitions.JOBS_ENDED.name, *labels): [count] for labels, count in totals.ended.items()}
    deliveries: Sums = {(definitions.DELIVERIES.name, result): [count] for result, count in totals.deliveries.items()}
    return jobs | ended | deliveries | {
        (definitions.REQUEUED.name,): [totals.requeued], (definitions.OLDEST_SECONDS.name,): [totals.oldest_s],
        (definitions.QUEUE_SECONDS.name,): [totals.predicted_s],
        (definitions.QUEUE_BYTES.name,): [totals.image_bytes], (definitions.WORKERS.name,): [float(totals.workers)]}
