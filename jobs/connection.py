"""The one place that makes clients of the queue server."""

from typing import Any

from redis import BlockingConnectionPool, Redis, UnixDomainSocketConnection
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from settings import Settings

# A web process must answer, not wait; redis-py by itself waits for seconds for a server that is gone or frozen.
WEB_TIMEOUT_S = 1.0
WEB_CONNECTIONS = 64
WORKER_RETRIES = 5
WORKER_RETRY_PAUSE_S = 0.2


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
