"""Every number that /metrics tells: its name, kind, labels and meaning. docs/metrics.md lists the same.

Labels have words of ours as values, and names of models that are or were served, never what a caller made up.
"""

from dataclasses import dataclass
from typing import Literal

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
RATIOS = (0.1, 0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0)


@dataclass(frozen=True)
class Metric:
    """A name with a meaning. A histogram has `bounds`, the upper ones of its buckets."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers are kept for each set of labels: of a histogram its buckets, what is above, and the sum."""
        return len(self.bounds) + 2 if self.bounds else 1


REQUESTS = Metric("punnet_http_requests_total", "counter", "Answered HTTP requests.",
                  ("method", "path", "status", "model"))
REQUEST_SECONDS = Metric("punnet_http_request_seconds", "histogram",
                         "Time from a request's arrival until its answer is made, with all waiting in it.",
                         ("path",), SECONDS)
OPEN_REQUESTS = Metric("punnet_http_requests_open", "gauge", "Requests that are being answered.")
WAITING_CALLERS = Metric("punnet_callers_waiting", "gauge",
                         "Connections that are kept open until a job has ended, or for its events.", ("how",))
REFUSALS = Metric("punnet_refusals_total", "counter", "Answers that are problem documents, by the slug of the problem.",
                  ("problem",))
ROUTED = Metric("punnet_routed_total", "counter",
                "Images by the route that was chosen: for their cost, because the route's backlog would have kept them "
                "waiting past the budget, or because their caller asked for a job.", ("model", "route", "why"))
REROUTED = Metric("punnet_rerouted_total", "counter",
                  "Images on an inline route that became jobs: their run outlasted its time, did not begin in time, or "
                  "decoded for too long.", ("model", "why"))
PREDICTION_SECONDS = Metric("punnet_prediction_seconds", "histogram",
                            "Time of a successful prediction, from its request's arrival to its answer, or from the "
                            "acceptance of its job to the end.", ("model", "route"), SECONDS)
PHASE_SECONDS = Metric("punnet_phase_seconds", "histogram", "Time of each phase of a successful prediction.",
                       ("model", "phase"), SECONDS)
COST_RATIO = Metric("punnet_cost_ratio", "histogram",
                    "What a successful prediction took of a core, as a share of what was predicted: 1 is exact.",
                    ("model", "route"), RATIOS)
RUNNING = Metric("punnet_predictors_busy", "gauge", "Predictors that work on a question, by their group.", ("group",))
WAITING = Metric("punnet_inline_waiting", "gauge", "Inline images that wait for a predictor.", ("route",))
INLINE_SECONDS = Metric("punnet_inline_predicted_seconds", "gauge",
                        "Time of a core for the inline images that wait or run, by their predicted costs.", ("route",))
RESERVED_BYTES = Metric("punnet_reserved_bytes", "gauge",
                        "Memory that is reserved for request bodies by web processes, and for decoded images by "
                        "predictors.", ("what",))
PROCESSES = Metric("punnet_processes", "gauge", "Processes that are alive.", ("role",))
DIED = Metric("punnet_processes_died_total", "counter",
              "Processes that ended without having been asked to; they are replaced.", ("role",))
MODELS = Metric("punnet_models", "gauge", "Models by state.", ("state",))
POISON_IMAGES = Metric("punnet_poison_images", "gauge", "Images that ended two predictors within the last hour.")
QUEUE_SERVER = Metric("punnet_queue_server_up", "gauge", "1 while the queue server answers. Without it the numbers of "
                      "the queue are missing.")
JOBS = Metric("punnet_jobs", "gauge", "Jobs that can be read, by state.", ("state",))
DELIVERIES = Metric("punnet_webhook_deliveries_total", "counter",
                    "Tries to tell a webhook's receiver of an event, by what came of them.", ("result",))
JOBS_ENDED = Metric("punnet_jobs_ended_total", "counter", "Jobs that have ended.", ("model", "state"))
REQUEUED = Metric("punnet_jobs_requeued_total", "counter", "Jobs that were put back into the queue.")
OLDEST_SECONDS = Metric("punnet_queue_oldest_seconds", "gauge", "Age of the oldest job that waits.")
QUEUE_SECONDS = Metric("punnet_queue_predicted_seconds", "gauge",
                       "Time of a worker for all jobs that wait or run, by their predicted costs.")
QUEUE_BYTES = Metric("punnet_queue_image_bytes", "gauge", "Images of the jobs that wait or run.")
WORKERS = Metric("punnet_queue_workers", "gauge", "Workers of all machines that have signed on.")
INFO = Metric("punnet_info", "gauge", "1, with the version.", ("version",))

# What processes count; the rest is looked up when somebody asks.
COUNTED = (REQUESTS, REQUEST_SECONDS, OPEN_REQUESTS, WAITING_CALLERS, REFUSALS, ROUTED, REROUTED, PREDICTION_SECONDS,
           PHASE_SECONDS, COST_RATIO, RUNNING, RESERVED_BYTES, PROCESSES, DIED)
OF_THE_QUEUE = (JOBS, JOBS_ENDED, REQUEUED, DELIVERIES, OLDEST_SECONDS, QUEUE_SECONDS, QUEUE_BYTES, WORKERS)
ALL = (*COUNTED, WAITING, INLINE_SECONDS, MODELS, POISON_IMAGES, QUEUE_SERVER, *OF_THE_QUEUE, INFO)
BY_NAME = {metric.name: metric for metric in ALL}
