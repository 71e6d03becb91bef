"""A tensor's plain numbers, for a caller whose `Accept` likes them better than JSON."""

import time

from flask import request
from pydantic import BaseModel

from api.accept import TENSORS, Wanted
from api.answers import File
from api.inline import seen_through
from api.problems import NotAcceptable
from api.services import Services
from inference.errors import NotOneTensor
from inference.model_info import ModelInfo
from jobs.job import JobRecord
from predictors.client import Tensor


def settled(wanted: Wanted, model: ModelInfo, parameters: BaseModel) -> Wanted:
    """What to answer with, before anything runs: JSON where the result will not be one tensor, and JSON would do.

    Raises:
        NotAcceptable: JSON would not do.
    """
    problem = _problem(wanted.kind, model, parameters) if wanted.kind in TENSORS else ""
    if problem and not wanted.or_json:
        raise NotAcceptable(problem)
    return Wanted() if problem else wanted


def file_of(tensor: Tensor, kind: str) -> File:
    """The tensor as an answer; headers tell what the numbers are."""
    headers = {"X-Tensor-Shape": ",".join(map(str, tensor.shape)), "X-Tensor-Datatype": tensor.datatype}
    return File(kind, tensor.data, headers)


def of_job(service: Services, wanted: Wanted, record: JobRecord) -> File | None:
    """A job's result as plain numbers, made of its JSON by a predictor; None for a job that has no result, and for a
    caller who gets JSON.

    Raises:
        NotOneTensor: and JSON would not do. Overdue, CalledOff, PredictorsAway.
    """
    if wanted.kind not in TENSORS or record.state != "succeeded":
        return None
    deadline = time.monotonic() + service.settings.job_timeout_s
    run = service.predictors.tensor(record.result, wanted.kind, deadline)
    try:
        return file_of(seen_through(run, request.environ.get("gunicorn.socket"), deadline), wanted.kind)
    except NotOneTensor:
        if not wanted.or_json:
            raise
        return None


def _problem(kind: str, model: ModelInfo, parameters: BaseModel) -> str:
    """Why the result will not be one tensor; what hooks.py makes of the outputs is known only after the run."""
    if model.spec.task != "tensor":
        return f"{kind} is for the task tensor, and this model's is {model.spec.task}: ask for application/json"
    asked = getattr(parameters, "outputs", None)
    names = asked.split(",") if asked is not None else [output.name for output in model.outputs]
    if len(names) == 1 or model.has_hooks:
        return ""
    told = ", ".join(name.strip() for name in names)
    return f"{kind} holds one output: ask for one with outputs=name, such as outputs={names[0].strip()}; this " \
           f"request is for {told}"
