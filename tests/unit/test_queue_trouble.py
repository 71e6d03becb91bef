"""What an error of the queue server means."""

import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from jobs import trouble
from jobs.trouble import QueueServerReadOnly, is_out_of_memory, takes_no_writes, told, will_pass


@pytest.mark.parametrize(("error", "text", "passes"), [
    (ConnectionError("refused"), trouble.AWAY, True),
    (TimeoutError("frozen"), trouble.AWAY, True),
    (ResponseError("MISCONF Errors writing to the AOF file"), trouble.FULL, True),
    (OutOfMemoryError("command not allowed"), trouble.FULL, True),
    (ResponseError("ERR Error running script: -OOM command not allowed when used memory > 'maxmemory'."),
     trouble.FULL, True),
    (QueueServerReadOnly("READONLY"), trouble.READ_ONLY, True),
    (ResponseError("NOREPLICAS Not enough good replicas to write."), trouble.READ_ONLY, True),
    (BusyLoadingError("Redis is loading the dataset in memory"), trouble.LOADING, True),
    (AuthenticationError("invalid password"), trouble.REFUSED, True),
    (NoPermissionError("no"), trouble.REFUSED, False),
    (ResponseError("WRONGTYPE"), trouble.AWAY, False)])
def test_each_trouble_is_told_and_waited_for_where_it_passes(error: RedisError, text: str, passes: bool) -> None:
    assert (told(error), will_pass(error)) == (text, passes)


@pytest.mark.parametrize(("error", "expected"), [
    (ReadOnlyError("You can't write against a read only replica.", status_code="READONLY"), True),
    (ResponseError("ERR Error running script: -READONLY You can't write against a read only replica."), True),
    (ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed"), True),
    (ResponseError("ERR unknown command"), False)])
def test_a_server_that_takes_no_writes_is_left(error: RedisError, expected: bool) -> None:
    assert takes_no_writes(error) is expected


def test_memory_that_is_used_up_is_not_a_full_disk() -> None:
    assert is_out_of_memory(OutOfMemoryError("command not allowed"))
    assert not is_out_of_memory(ResponseError("MISCONF"))
