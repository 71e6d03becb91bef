"""What an error of the queue server means: whether the same may go well later, and what a caller is told."""

from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, OutOfMemoryError, RedisError
from redis.exceptions import ConnectionError as QueueServerAway
from redis.exceptions import TimeoutError as QueueServerSilent

# What every queue server's answer holds while it cannot write its file, and while its memory is used up; older ones
# say the second from within a script, in the middle of another answer.
DISK_FULL, MEMORY_FULL = "MISCONF", "OOM command not allowed"
# A replica, a primary that has just become one and lets its blocked clients go, and a replica without its primary.
# Older servers say the first from within a script, in the middle of another answer.
NO_WRITES = ("READONLY", "UNBLOCKED", "MASTERDOWN")
TOO_FEW_REPLICAS = "NOREPLICAS"  # for a primary that is to write only where its replicas follow

AWAY = "the queue server does not answer; try again in a few seconds"
FULL = "the queue server has no room for new jobs: its disk or memory is full; try again later"
READ_ONLY = "the queue server takes nothing new just now: it is a replica, or lacks one; try again in a few seconds"
LOADING = "the queue server is starting and reads its data; try again in a few seconds"
REFUSED = "the queue server does not let this service in: its operator has to look at PUNNET_REDIS_URL"


class QueueServerReadOnly(QueueServerAway):
    """The connection led to a server that takes no writes; it is closed."""


def takes_no_writes(error: RedisError) -> bool:
    """Whether it is an answer of a server that takes no writes, and that is not to be asked again."""
    code = getattr(error, "status_code", None)  # redis-py takes it from the text of the errors that it knows
    return code in NO_WRITES or any(word in str(error) for word in NO_WRITES)


def is_out_of_memory(error: RedisError) -> bool:
    """Whether the queue server has used up the memory that it may have."""
    return isinstance(error, OutOfMemoryError) or MEMORY_FULL in str(error)


def is_full(error: RedisError) -> bool:
    """Whether the queue server is there but takes nothing new, because its disk or its memory is full."""
    return is_out_of_memory(error) or DISK_FULL in str(error)


def will_pass(error: RedisError) -> bool:
    """Whether the same may go well later: the queue server is away, silent, full, or not the one that writes."""
    return isinstance(error, (QueueServerAway, QueueServerSilent)) or is_full(error) or TOO_FEW_REPLICAS in str(error)


def told(error: RedisError) -> str:
    """What a caller whose job is not accepted is told."""
    if is_full(error):
        return FULL
    if isinstance(error, QueueServerReadOnly) or TOO_FEW_REPLICAS in str(error):
        return READ_ONLY
    if isinstance(error, BusyLoadingError):
        return LOADING
    return REFUSED if isinstance(error, (AuthenticationError, NoPermissionError)) else AWAY
