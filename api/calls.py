"""A checked request to predict, and a job that came of it."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from api.accept import TENSORS, Wanted
from api.preferences import Preference
from inference.image_info import ImageInfo
from inference.model_info import ModelInfo
from inference.workload import Workload
from jobs.idempotency import Claim
from jobs.job import JobRecord
from jobs.webhooks import Webhook


@dataclass(frozen=True)
class Call:
    """A checked request: which model, which image, how to answer, and in which media type.

    `arrived` is of time.monotonic; `cancel_after_s` later its caller wants no answer any more. From `read_at` on, when
    all of it was read, its caller is held: a slow upload takes nothing of what he wants to wait.
    """

    model_type: str
    model: ModelInfo
    image: bytes
    info: ImageInfo
    parameters: BaseModel
    work: Workload
    preference: Preference
    wanted: Wanted
    arrived: float
    read_at: float
    cancel_after_s: float
    webhook: Webhook | None
    key: str = ""
    claim: Claim | None = None

    @property
    def deadline(self) -> float:
        return self.arrived + self.cancel_after_s

    @property
    def given(self) -> dict[str, Any]:
        """The parameters that the caller gave."""
        return self.parameters.model_dump(exclude_unset=True)

    @property
    def tensor_type(self) -> str:
        """The media type of plain numbers, "" for a caller who gets something else."""
        return self.wanted.kind if self.wanted.kind in TENSORS else ""


@dataclass(frozen=True)
class Accepted:
    """A job, and what is needed of its request to answer the caller: whether he waits, and until when, by
    time.monotonic."""

    record: JobRecord
    waits: bool
    wait_until: float
    wanted: Wanted
    deadline: float

    @classmethod
    def of(cls, call: Call, record: JobRecord) -> "Accepted":
        wait_s = call.preference.wait_s
        return cls(record, wait_s > 0, call.read_at + wait_s, call.wanted, call.deadline)
