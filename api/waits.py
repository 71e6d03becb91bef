"""Callers who wait for a job to end: as many connections as there are places for them, with a share for each caller."""

from api.auth import caller
from api.services import Services
from jobs.errors import QueueUnavailable
from jobs.job import JobRecord


def waited_for(service: Services, record: JobRecord, wait_s: float) -> JobRecord:
    """The job's record once it has ended, or where it stands after so many seconds: at once where too many wait, for
    a connection that waits keeps another caller's from being served."""
    with service.held.place(caller().share) as has_place:
        if not has_place:
            return record
        record = service.following.wait(record, wait_s)
    return record if record.ended else _read_again(service, record)


def _read_again(service: Services, record: JobRecord) -> JobRecord:
    """Where the job stands now. While the queue server is away nobody knows better."""
    try:
        return service.queue.read(record.id, caller().owner)
    except QueueUnavailable:
        return record
