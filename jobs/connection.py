"""The one place that makes clients of the queue server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import BlockingConnectionPool, Redis, UnixDomainSocketConnection
from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import ConnectionError as QueueServerAway
from redis.exceptions import OutOfMemoryError, RedisError
from redis.exceptions import TimeoutError as QueueServerSilent
from redis.retry import Retry

from jobs.errors import QueueUnavailable
from settings import Settings

# A web process must answer, not wait; redis-py by itself waits for seconds for a server that is gone or frozen.
WEB_TIMEOUT_S = 1.0
WEB_CONNECTIONS = 64
WORKER_RETRIES = 5
WORKER_RETRY_PAUSE_S = 0.2
AWAY = "the queue server does not answer; try again in a few seconds"
FULL = "the queue server has no room for new jobs: its disk or memory is full; try again later"

DISK_FULL = "MISCONF"  # how every queue server's answer begins while it cannot write its file


def is_full(error: RedisError) -> bool:
    """Whether the queue server is there but takes nothing new, because its disk or its memory is full."""
    return isinstance(error, OutOfMemoryError) or DISK_FULL in str(error)


def will_pass(error: RedisError) -> bool:
    """Whether the same may go well later: the queue server is away, silent or full."""
    return isinstance(error, (QueueServerAway, QueueServerSilent)) or is_full(error)


@contextmanager
def unavailable() -> Iterator[None]:
    """What the HTTP side does with jobs fails as QueueUnavailable, which says whether it is worth trying again."""
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable(FULL if is_full(error) else AWAY) from error
    except OSError as error:  # of the spool folder; redis-py's own errors are RedisErrors
        raise QueueUnavailable(f"the image cannot be stored: {error.strerror or error}") from error


def web_client(settings: Settings) -> Redis:
    """For requests: it fails within a second and never retries, with at most 64 connections a process."""
    return _client(settings, max_connections=WEB_CONNECTIONS, timeout=WEB_TIMEOUT_S,
                   socket_timeout=WEB_TIMEOUT_S, socket_connect_timeout=WEB_TIMEOUT_S,
                   retry=Retry(NoBackoff(), 0))


def subscriber_client(settings: Settings) -> Redis:
    """For the one subscription of a process: its reads block until something happens."""
    return _client(settings, max_connections=2, socket_connect_timeout=WEB_TIMEOUT_S,
                   socket_timeout=None, retry=Retry(NoBackoff(), 0))


def worker_client(settings: Settings) -> Redis:
    """For workers: it is patient enough for a supervised restart of the queue server."""
    return _client(settings, max_connections=8, socket_connect_timeout=WEB_TIMEOUT_S,
                   retry=Retry(ConstantBackoff(WORKER_RETRY_PAUSE_S), WORKER_RETRIES))


def _client(settings: Settings, **options: Any) -> Redis:
    options |= {"driver_info": None}  # or each connection reads redis-py's metadata from the disk, to tell its version
    if settings.embedded:
        pool = BlockingConnectionPool(connection_class=UnixDomainSocketConnection,
                                      path=str(settings.state.queue_socket), **options)
    else:
        alive = {} if settings.redis_url.startswith("unix://") else {"socket_keepalive": True}
        pool = BlockingConnectionPool.from_url(settings.redis_url, **alive, **options)
    return Redis(connection_pool=pool)
