"""A job: what is asked for, where it stands, and what came of it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from jobs.idempotency import Claim
from jobs.webhooks import Webhook

State = Literal["queued", "processing", "succeeded", "failed", "canceled"]

# Kinds of outcomes that no inline call knows: they are about the job, not about its image.
DEADLINE = "Deadline"
WORKER_LOST = "WorkerLost"
CANCELED = "Canceled"
GIVEN_UP = ("the job failed several times for reasons of the machinery; the worker's log tells them, then post the "
            "image again")  # of a job that RQ's own tools gave up


@dataclass(frozen=True)
class JobRequest:
    """What is asked for beside the image: names and plain values only. The job belongs to `owner` and counts for the
    share of `caller`: api/auth.py says who they are. `fingerprint` is of the model's files here."""

    model_type: str
    parameters: dict[str, Any]
    predicted_ms: float
    request_id: str = "-"
    tiles: int = 1
    deadline_s: float | None = None  # from now on: what has not begun by then is not begun
    owner: str = ""
    caller: str = ""
    webhook: Webhook | None = None
    fingerprint: str = ""
    claim: Claim | None = None
    computation: str = ""  # jobs with the same one are joined: see computation.py

    @property
    def model_name(self) -> str:
        """The model without its version."""
        return self.model_type.partition(":")[0]


@dataclass(frozen=True)
class Outcome:
    """How a job ended, without the result itself. `kind` and `detail` are a refusal's: `kind` is the class name of the
    exception that an inline call would have raised, or one of the kinds above."""

    kind: str = ""
    detail: str = ""
    model_version: str = ""
    image: Mapping[str, Any] | None = None
    timings_ms: Mapping[str, float] | None = None

    @property
    def succeeded(self) -> bool:
        return not self.kind

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Outcome":
        return cls(**value)


@dataclass(frozen=True)
class JobRecord:
    """A job as it stands, read from the queue server. `request_id` is the submission's, `queue_position` counts from 1
    while the job is queued, `eta_s` is the time until its end by predicted cost, and `waiting_for` says what is missing
    where no living machine can run the job. Progress is counted in tiles of the image. `changes` grows with everything
    that happens to the job. `result` is the JSON of a succeeded job's result."""

    id: str
    state: State
    model_type: str
    created_at: datetime
    owner: str = ""
    request_id: str = "-"
    started_at: datetime | None = None
    completed_at: datetime | None = None
    queue_position: int | None = None
    eta_s: float | None = None
    waiting_for: str = ""
    tiles: int = 1
    tiles_done: int = 0
    changes: int = 0
    outcome: Outcome | None = None
    result: bytes = b""
    has_webhook: bool = False

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed", "canceled")

    @property
    def queue_ms(self) -> float:
        """How long the job waited before it ran."""
        if self.started_at is None:
            return 0.0
        return max(0.0, (self.started_at - self.created_at).total_seconds() * 1000)

    @property
    def total_ms(self) -> float:
        """The time from acceptance to end."""
        if self.completed_at is None:
            return 0.0
        return max(0.0, (self.completed_at - self.created_at).total_seconds() * 1000)


def retry_after_s(record: JobRecord) -> int:
    """Whole seconds until it is worth asking again."""
    return max(1, math.ceil(record.eta_s or 0))
