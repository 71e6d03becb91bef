"""Callers who wait for a job to end: as many connections as there are places for them, with a share for each caller."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from flask import request

from api.auth import caller
from api.inline import is_connected
from api.parking import WAITED_KEY, Parked
from api.services import Services
from jobs.errors import JobExpired, QueueUnavailable
from jobs.job import JobRecord


def waited_for(service: Services, record: JobRecord, wait_s: float) -> JobRecord:
    """The job's record once it has ended, or where it stands after so many seconds: at once where too many wait, for
    a connection that waits keeps another caller's from being served."""
    return _now(service, _waited(service, caller().share, record, wait_s))


def parked_for(service: Services, job_id: str, wait_s: float) -> JobRecord:
    """The same for a view that is called again after the wait.

    Raises:
        Parked: the view is to wait.
        JobNotFound, JobExpired, QueueUnavailable.
    """
    if (waited := request.environ.pop(WAITED_KEY, None)) is not None:
        return _now(service, waited)
    record = service.queue.read(job_id, caller().owner)
    if record.ended or not wait_s:
        return record
    is_wanted = partial(is_connected, request.environ.get("gunicorn.socket"))
    raise Parked(partial(_waited, service, caller().share, record, wait_s, is_wanted))


def _waited(service: Services, share: str, record: JobRecord, wait_s: float,
            is_wanted: Callable[[], bool] = lambda: True) -> JobRecord:
    # Whoever reads again is told.
    with service.place(share, "wait") as has_place, suppress(JobExpired, QueueUnavailable):
        return service.following.wait(record, wait_s, is_wanted) if has_place else record
    return record


def _now(service: Services, record: JobRecord) -> JobRecord:
    """Where the job stands now. While the queue server is away nobody knows better."""
    try:
        return record if record.ended else service.queue.read(record.id, caller().owner)
    except QueueUnavailable:
        return record
