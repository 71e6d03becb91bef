"""A look at an outside queue server before a start: what would never work stops the start, what may pass is told."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as QueueServerAway
from redis.exceptions import TimeoutError as QueueServerSilent

from jobs.connection import CHECK_TIMEOUT_S, check_client
from settings import PREFIX, Settings

NAME = f"{PREFIX}REDIS_URL"
LEAST_VERSION = (6, 2)  # of Redis, and of what calls itself compatible with one; each version of Valkey is newer
UNTIL_THEN = "until then jobs are refused (503), and inline answers go on"
NO_ROOM_POLICY = "noeviction"


class UnfitServer(Exception):
    """Punnet cannot work with the queue server; the text is one line that names PUNNET_REDIS_URL, without secrets."""


def warnings(settings: Settings) -> list[str]:
    """What an operator should know of the server; each is one line.

    Raises:
        UnfitServer.
    """
    where = address(settings.redis_url)
    try:
        return facts_warnings(where, _facts(settings))
    except (BusyLoadingError, QueueServerSilent, QueueServerAway) as error:
        return [_of_connection(where, error)]
    except (ResponseError, TypeError, ValueError) as error:  # the last two are of a parameter in the URL
        raise UnfitServer(f"{NAME}: {where} cannot be used: {_one_line(error)}") from error


def address(url: str) -> str:
    """The URL without user, password and parameters, any of which may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def facts_warnings(where: str, facts: Mapping[str, Any]) -> list[str]:
    """What the server tells of itself. Raises UnfitServer."""
    _check_fit(where, facts)
    found = []
    if facts.get("role") == "slave":
        found.append(f"{NAME}: {where} is a read-only replica: name its primary here, or promote it; {UNTIL_THEN}")
    if (policy := facts.get("maxmemory_policy", NO_ROOM_POLICY)) != NO_ROOM_POLICY:
        found.append(f"{NAME}: {where} has maxmemory-policy {policy}, by which it may throw away accepted jobs when "
                     f"its memory is full: set maxmemory-policy {NO_ROOM_POLICY} there")
    return found


def _check_fit(where: str, facts: Mapping[str, Any]) -> None:
    version = str(facts.get("redis_version", ""))
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < LEAST_VERSION:
        raise UnfitServer(f"{NAME}: {where} is version {version or 'unknown'}: Redis {LEAST_VERSION[0]}."
                          f"{LEAST_VERSION[1]} or newer is needed, or Valkey")
    if facts.get("redis_mode") == "cluster":
        raise UnfitServer(f"{NAME}: {where} is part of a cluster that shards its keys: name a server that holds all of "
                          "them")


def _facts(settings: Settings) -> Mapping[str, Any]:
    """Raises RedisError, and TypeError or ValueError where the URL has a parameter that redis-py does not take."""
    client = check_client(settings)
    try:
        return dict(client.info())
    finally:
        client.connection_pool.disconnect()


def _of_connection(where: str, error: RedisError) -> str:
    """What the operator is told of a server that cannot be talked to just now. Raises UnfitServer where that stays."""
    said = _one_line(error)
    if isinstance(error, AuthenticationError):
        raise UnfitServer(f"{NAME}: {where} refuses the user or the password: {said}") from error
    if "CERTIFICATE_VERIFY_FAILED" in said:
        raise UnfitServer(f"{NAME}: the certificate of {where} is not trusted: {said}; name the file of its authority "
                          "with ?ssl_ca_certs=") from error
    if "SSL" in said:
        raise UnfitServer(f"{NAME}: {where} does not speak TLS as rediss:// wants: {said}") from error
    if isinstance(error, BusyLoadingError):
        return f"{NAME}: {where} still reads its data; {UNTIL_THEN}"
    if isinstance(error, QueueServerSilent):
        return f"{NAME}: {where} does not answer within {CHECK_TIMEOUT_S:g} s{_may_be_tls(where)}; {UNTIL_THEN}"
    return f"{NAME}: {where} cannot be reached{_may_be_tls(where)}: {said}; {UNTIL_THEN}"


def _may_be_tls(where: str) -> str:
    """A server that wants TLS says nothing to one who does not speak it, and the other way round."""
    return " (does it want rediss://?)" if where.startswith("redis:") else " (does it speak TLS?)"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
