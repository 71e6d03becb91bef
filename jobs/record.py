"""A job as it stands, read from the queue server."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from jobs.outcome import Outcome

State = Literal["queued", "processing", "succeeded", "failed", "canceled"]


@dataclass(frozen=True)
class JobRecord:
    """`request_id` is the submission's; `queue_position` counts from 1 while queued; `eta_s` is until its end, by
    predicted cost. Progress is counted in tiles of the image."""

    id: str
    state: State
    model_type: str
    created_at: datetime
    request_id: str = "-"
    started_at: datetime | None = None
    completed_at: datetime | None = None
    queue_position: int | None = None
    eta_s: float | None = None
    tiles: int = 1
    tiles_done: int = 0
    outcome: Outcome | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed", "canceled")

    @property
    def queue_ms(self) -> float:
        """How long it waited before it ran."""
        if self.started_at is None:
            return 0.0
        return max(0.0, (self.started_at - self.created_at).total_seconds() * 1000)

    @property
    def total_ms(self) -> float:
        """From acceptance to end."""
        if self.completed_at is None:
            return 0.0
        return (self.completed_at - self.created_at).total_seconds() * 1000
