"""Who calls, and whether he may: with keys one of them is needed, and what a caller has is his who has the key."""

import hashlib
import hmac
import ipaddress
import logging
from dataclasses import dataclass

from flask import Request, g

from api.problems import Unauthorized
from settings import Settings, SettingsError

SHARE_KEY = "punnet.share"  # in the environ: whose share of a limit the request counts for
IPV6_NETWORK = 64  # bits of an address that are its network's: whoever has a network has all of its addresses
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """Who calls. Jobs belong to `owner`, a digest of the key; it is empty where there are no keys. `share` is whose
    share of a limit a request counts for: the key's, or without keys the address's."""

    owner: str
    share: str


class Callers:
    """The keys of one web process, as digests, so that nothing can tell them by mistake."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError."""
        self._settings = settings
        self._digests = _digests(settings)

    def read_again(self) -> None:
        """Take the keys that the file has now. A file that cannot be used changes nothing: it neither opens the
        service nor shuts out those who had a key."""
        try:
            self._digests = _digests(self._settings)
            log.info("%d keys are known now", len(self._digests))
        except SettingsError as error:
            log.error("the keys stay as they were: %s", error)

    def caller(self, request: Request) -> Caller:
        """Who sent the request. His key is compared with every key, each in constant time, so that timing tells
        nothing.

        Raises:
            Unauthorized.
        """
        if not self._digests:
            return Caller("", network(request.environ.get("REMOTE_ADDR", "")))
        key = _given_key(request)
        given = digest(key)
        matches = [hmac.compare_digest(given, known) for known in self._digests]
        if not any(matches):
            unknown = "this API key is not known; " if key else ""
            raise Unauthorized(f"{unknown}send an API key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'")
        return Caller(given, given)


def caller() -> Caller:
    """Who sent the request that is being answered."""
    return g.caller


def bears_key(request: Request) -> bool:
    """Whether a request bears a key, be it right or wrong."""
    return bool(_given_key(request))


def digest(key: str) -> str:
    """What stands for a key where the key itself must not stand, the same on every machine."""
    return hashlib.sha256(b"punnet key " + key.encode("utf-8", "surrogateescape")).hexdigest()


def network(address: str) -> str:
    """Whose share a request from this address counts for."""
    try:
        is_short = ipaddress.ip_address(address).version == 4
    except ValueError:
        return "elsewhere"  # a unix socket's peer has no address
    return address if is_short else str(ipaddress.ip_network(f"{address}/{IPV6_NETWORK}", strict=False))


def _digests(settings: Settings) -> tuple[str, ...]:
    return tuple(map(digest, settings.read_keys()))


def _given_key(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")
