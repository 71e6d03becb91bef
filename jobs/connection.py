"""The one place that makes clients of the queue server."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.backoff import ConstantBackoff, NoBackoff
from redis.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from jobs.errors import QueueUnavailable, StoreAway
from jobs.trouble import QueueServerReadOnly, takes_no_writes, told
from settings import Settings

# A web process must answer, not wait; redis-py by itself waits for seconds for a server that is gone or frozen.
WEB_TIMEOUT_S = 1.0
WEB_CONNECTIONS = 64
WORKER_RETRIES = 5
WORKER_RETRY_PAUSE_S = 0.2
CHECK_TIMEOUT_S = 3.0
# A peer that is gone without a word is noticed by the kernel after 25 s, where nothing is said as where something is.
ALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3, socket.TCP_USER_TIMEOUT: 25_000}
STORE_AWAY = "the store of images and results does not answer; try again in a few seconds"
log = logging.getLogger(__name__)


@contextmanager
def unavailable() -> Iterator[None]:
    """What the HTTP side does with jobs fails as QueueUnavailable, which says whether it is worth trying again."""
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable(told(error)) from error
    except StoreAway as error:
        log.warning("the store cannot be used: %s", error)
        raise QueueUnavailable(STORE_AWAY) from error
    except OSError as error:  # of a folder; redis-py's own errors are RedisErrors
        raise QueueUnavailable(f"images and results cannot be stored or read: {error.strerror or error}") from error


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


def check_client(settings: Settings) -> Redis:
    """For one look at the server before a start."""
    return _client(settings, max_connections=1, socket_connect_timeout=CHECK_TIMEOUT_S,
                   socket_timeout=CHECK_TIMEOUT_S, retry=Retry(NoBackoff(), 0))


class _LeavesReplicas(AbstractConnection):
    """After a failover the former primary answers that it takes no writes, and would do so as long as the connection
    lasts. So the connection ends there: the next one leads to whoever bears the server's name by then."""

    def read_response(self, *given: Any, **named: Any) -> Any:
        try:
            return super().read_response(*given, **named)
        except ResponseError as error:
            if not takes_no_writes(error):
                raise
            self.disconnect()
            raise QueueServerReadOnly(str(error)) from error


class _Tcp(_LeavesReplicas, Connection):
    pass


class _Tls(_LeavesReplicas, SSLConnection):
    pass


class _Unix(_LeavesReplicas, UnixDomainSocketConnection):
    pass


def _client(settings: Settings, **options: Any) -> Redis:
    options |= {"driver_info": None}  # or each connection reads redis-py's metadata from the disk, to tell its version
    if settings.embedded:
        pool = BlockingConnectionPool(connection_class=_Unix, path=str(settings.state.queue_socket), **options)
    else:
        pool = BlockingConnectionPool.from_url(settings.redis_url, **_kind(settings.redis_url), **options)
    return Redis(connection_pool=pool)


def _kind(url: str) -> dict[str, Any]:
    if url.startswith("unix://"):
        return {"connection_class": _Unix}
    return {"connection_class": _Tls if url.startswith("rediss://") else _Tcp,
            "socket_keepalive": True, "socket_keepalive_options": ALIVE}
