"""What can go wrong with a job. The text is meant for the caller."""


class JobError(Exception):
    """Base of the errors below."""


class QueueUnavailable(JobError):
    """The queue server does not answer; nothing was accepted."""


class QueueFull(JobError):
    """More work waits than is allowed. `retry_after_s` is when a place should be free."""

    def __init__(self, detail: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class NotInTime(JobError):
    """The job could not begin before its caller's deadline; it was not accepted."""


class KeyInUse(JobError):
    """The first request with this Idempotency-Key is still under way."""

    def __init__(self) -> None:
        super().__init__("the first request with this Idempotency-Key is under way; try again in a few seconds")


class JobNotFound(JobError):
    """No job has, or lately had, this id."""


class JobExpired(JobError):
    """The job ended and its result's time is over."""


class ImageLost(JobError):
    """A job's stored image is gone."""


class NotStored(JobError):
    """The store has nothing under this name."""


class StoreAway(OSError):
    """The store of images and large results does not answer, or refuses. The text is for the log: it names where."""
