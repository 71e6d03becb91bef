"""The one place that makes clients of the queue server."""

from typing import Any

from redis import BlockingConnectionPool, Redis, UnixDomainSocketConnection
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from settings import Settings

# The front must answer, not wait: with redis-py's defaults a missing socket costs 3.3 s a call, a frozen server 25 s.
FRONT_TIMEOUT_S = 1.0
FRONT_CONNECTIONS = 64
WORKER_RETRIES = 5
WORKER_RETRY_PAUSE_S = 0.2


def front_client(settings: Settings) -> Redis:
    """For requests: fails within a second, never retries, at most 64 connections a process."""
    return _client(settings, max_connections=FRONT_CONNECTIONS, timeout=FRONT_TIMEOUT_S,
                   socket_timeout=FRONT_TIMEOUT_S, socket_connect_timeout=FRONT_TIMEOUT_S,
                   retry=Retry(NoBackoff(), 0))


def subscriber_client(settings: Settings) -> Redis:
    """For the one subscription of a process: reads block until something happens."""
    return _client(settings, max_connections=2, socket_connect_timeout=FRONT_TIMEOUT_S,
                   socket_timeout=None, retry=Retry(NoBackoff(), 0))


def worker_client(settings: Settings) -> Redis:
    """For workers: patient enough for a restart of the queue server (0.1 s, supervised)."""
    return _client(settings, max_connections=8, socket_connect_timeout=FRONT_TIMEOUT_S,
                   retry=Retry(ConstantBackoff(WORKER_RETRY_PAUSE_S), WORKER_RETRIES))


def _client(settings: Settings, **options: Any) -> Redis:
    options |= {"driver_info": None}  # or each connection reads redis-py's metadata from the disk, to tell its version
    if settings.embedded:
        pool = BlockingConnectionPool(connection_class=UnixDomainSocketConnection,
                                      path=str(settings.queue_socket), **options)
    else:
        alive = {} if settings.redis_url.startswith("unix://") else {"socket_keepalive": True}
        pool = BlockingConnectionPool.from_url(settings.redis_url, **alive, **options)
    return Redis(connection_pool=pool)
