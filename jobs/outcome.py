"""What a worker hands back for a job: a prediction, or the refusal that an inline call would have got."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """Either `prediction` (as `Prediction.to_dict` gives it) or `kind` and `detail` of a refusal is set.

    `kind` is the class name of the exception that an inline call would have raised.
    """

    prediction: dict | None = None
    kind: str = ""
    detail: str = ""

    @property
    def succeeded(self) -> bool:
        return self.prediction is not None

    def to_json(self) -> dict[str, Any]:
        return {"prediction": self.prediction, "kind": self.kind, "detail": self.detail}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Outcome":
        return cls(value["prediction"], value["kind"], value["detail"])


# Kinds that no inline call knows: they are about the machinery.
DEADLINE = "Deadline"
WORKER_LOST = "WorkerLost"
