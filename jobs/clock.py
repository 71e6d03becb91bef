"""The time by which jobs are dated and deadlines decided: the queue server's, as no two machines' clocks agree."""

from datetime import UTC, datetime

from redis import Redis


def server_time_s(client: Redis) -> float:
    """Seconds since the epoch. Raises RedisError."""
    seconds, microseconds = client.time()
    return seconds + microseconds / 1e6

def moment(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)
