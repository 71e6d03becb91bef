"""The fields of a request that name a webhook -> where a job's events are to be told. Pure."""

from collections.abc import MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from inference.errors import BadParameter
from jobs.addresses import may_be_told
from jobs.webhooks import EVENTS, Webhook

URL_FIELD, EVENTS_FIELD = "webhook", "webhook_events_filter"
MAX_URL = 2048  # characters
DEFAULT_EVENTS = "completed"


def parse(values: MutableMapping[str, Any], private: bool) -> Webhook | None:
    """Takes its fields out of `values`. Addresses that names mean are looked at when they are connected to.

    Raises:
        BadParameter.
    """
    url, events = values.pop(URL_FIELD, None), values.pop(EVENTS_FIELD, None)
    if url is None and events is None:
        return None
    if url is None:
        raise BadParameter(f"{EVENTS_FIELD} is given without {URL_FIELD}: say where the events are to be posted")
    return Webhook(_url(url, private), _events(DEFAULT_EVENTS if events is None else events))


def _url(given: Any, private: bool) -> str:
    """Raises BadParameter, which does not quote the URL: it may bear secrets, and a refusal is logged by proxies."""
    if not isinstance(given, str) or not 0 < len(given) <= MAX_URL or not _is_plain(given):
        raise _bad(f"should be a URL of at most {MAX_URL} visible ASCII characters; percent-encode others")
    try:
        parts = urlsplit(given)
        _check(parts, private)
    except ValueError as error:
        raise _bad(str(error)) from None
    return given


def _check(parts: SplitResult, private: bool) -> None:
    """Raises ValueError."""
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise ValueError("should begin with https:// (http:// is taken where PUNNET_WEBHOOK_PRIVATE=1 is set)")
    if not parts.hostname or parts.port == 0:
        raise ValueError("names no host and port that can be connected to")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("should have neither a user name, nor a password, nor a fragment (#)")
    if _is_address(parts.hostname) and not may_be_told(parts.hostname, private):
        raise ValueError("has an address that is not public; the operator of this server may allow private ones with "
                         "PUNNET_WEBHOOK_PRIVATE=1")


def _events(given: Any) -> tuple:
    """Text with commas, or a list of JSON; in the order in which they happen. Raises BadParameter."""
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    if not isinstance(names, list) or not names or not all(name in EVENTS for name in names):
        raise BadParameter(f"{EVENTS_FIELD} should be one or more of {', '.join(EVENTS)}, separated by commas")
    return tuple(event for event in EVENTS if event in names)


def _is_plain(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _bad(reason: str) -> BadParameter:
    return BadParameter(f"{URL_FIELD} {reason}")
