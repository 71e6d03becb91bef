"""Callers who wait for a job to end: as many connections as there are places for them, with a share for each caller."""

from api.auth import caller
from api.services import Services
from jobs.job import JobRecord


def waited_for(service: Services, record: JobRecord, wait_s: float) -> JobRecord:
    """The job's record once it has ended, or where it stands after so many seconds: at once where too many wait, for
    a connection that waits keeps another caller's from being served."""
    owner, share = caller().owner, caller().share
    with service.held.place(share) as has_place:
        if not has_place:
            return record
        return service.events.wait(record, wait_s, lambda job_id: service.queue.read(job_id, owner))
