"""The documents that are answered."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.reference.results import Result
from inference.parameters import PARAMETERS
from jobs.job import State
from jobs.webhooks import Event

Task = Annotated[str, Field(json_schema_extra={"enum": list(PARAMETERS)})]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Milliseconds = Annotated[float, Field(description="Milliseconds.")]


class Problem(BaseModel):
    """RFC 9457. `type` tells what happened, `detail` is one plain sentence with what to do."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class ImageInfo(BaseModel):
    """The image as a person sees it."""

    width: int
    height: int
    format: str


class Timings(BaseModel):
    queue: Milliseconds
    decode: Milliseconds
    preprocess: Milliseconds
    inference: Milliseconds
    postprocess: Milliseconds
    total: Milliseconds


class Prediction(BaseModel):
    """`id` is the job's where it ran as one."""

    status: Literal[200]
    id: str
    model_type: str
    model_version: str
    route: Literal["inline", "queue"]
    image: ImageInfo
    result: Result
    timings_ms: Timings


class Progress(BaseModel):
    """In tiles of the image; one that is taken whole counts as one."""

    done: int
    total: int


class JobUrls(BaseModel):
    get: str
    result: str
    events: str
    cancel: str
    deliveries: str | None = Field(None, description="Of a job with a webhook.")


class ListedJob(BaseModel):
    """`status` is the prediction's: 202 until the job has ended, then what a synchronous call would have had, 410 when
    canceled. `error` is there for a failed job, what follows it for one that has succeeded."""

    status: int
    id: str
    state: State
    model_type: str
    queue_position: int | None = Field(description="1 is next; null for a job that does not wait.")
    eta_s: float | None = Field(description="Seconds until its end, by predicted cost; null for a job that has ended.")
    progress: Progress
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    urls: JobUrls
    waiting_for: str | None = Field(None, description="What a job waits for that does not wait for its turn alone.")
    error: Problem | None = None
    model_version: str | None = None
    image: ImageInfo | None = None
    timings_ms: Timings | None = None


class Job(ListedJob):
    result: Result | None = None


class JobList(BaseModel):
    """The newest first."""

    jobs: list[ListedJob]
    next: str | None = Field(description="The URL of what follows; null at the end.")


class DeliveryTry(BaseModel):
    """A try to tell an event to a job's webhook: the receiver's status, or why there is none."""

    at: Moment
    event: Event
    number: int = Field(description="Of the event's tries, from 1.")
    status: int | None
    error: str | None


class DeliveryList(BaseModel):
    """The oldest first."""

    deliveries: list[DeliveryTry]


class TensorInfo(BaseModel):
    """A dimension is a number, or a name or null where the model leaves it open."""

    name: str
    shape: list[int | str | None]
    datatype: str


class CallerParameter(BaseModel):
    """A parameter of the model's own."""

    name: str
    default: bool | int | float
    minimum: float | None
    maximum: float | None


class Finding(BaseModel):
    """A decision about the model, and where it came from. `fact` is the key of model.toml that overrides it."""

    fact: str
    value: Any
    source: str


class ListedModel(BaseModel):
    """`task` is missing where the model cannot be served, `reason` where it can."""

    name: str
    version: str
    state: Literal["loading", "ready", "failed"]
    task: Task | None = None
    reason: str | None = Field(None, description="Why it, or its newest files, cannot be served, and what to do.")


class Model(ListedModel):
    """What follows `reason` is there for a model that is served."""

    inputs: list[TensorInfo] | None = None
    outputs: list[TensorInfo] | None = None
    labels: list[str] | None = None
    parameters: list[CallerParameter] | None = None
    warnings: list[str] | None = Field(None, description="What was assumed, or looks wrong.")
    findings: list[Finding] | None = None
    cost: dict[str, Any] | None = Field(None, description="What was learned of its time, in milliseconds of a core.")


class ModelList(BaseModel):
    models: list[ListedModel]


class Liveness(BaseModel):
    status: Literal["alive"]


class Readiness(BaseModel):
    status: Literal["ready"]


class Version(BaseModel):
    version: str


class Index(BaseModel):
    """What there is, for a caller who wants no page."""

    name: Literal["punnet"]
    links: dict[str, str]
