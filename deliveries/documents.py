"""What is posted of a job: its document as it was at the event."""

from dataclasses import replace

from api import answers
from jobs.job import JobRecord
from jobs.outbox import Delivery
from jobs.records import Records


def document(records: Records, url_prefix: str, delivery: Delivery) -> bytes:
    """The job document. Raises JobNotFound, RedisError."""
    return answers.told(_at_event(records.to_tell(delivery.job_id), delivery), url_prefix)


def _at_event(record: JobRecord, delivery: Delivery) -> JobRecord:
    """What began is told as under way, though it may have ended meanwhile."""
    if delivery.event == "completed":
        return record
    return replace(record, state="processing", tiles_done=delivery.tiles_done, completed_at=None, outcome=None,
                   queue_position=None, result=b"")
