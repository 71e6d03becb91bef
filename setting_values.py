"""What the text of a setting has to look like: addresses, keys, origins, host names, paths. Pure.

A check returns the value as it is kept, or raises ValueError with a sentence that says what is wrong with it.
"""

import base64
import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

BIND = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):\d{1,5}")
ROLES = ("web", "jobs")
KEY = re.compile("[!-~]+")  # what a header can carry without a question of its encoding
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@]+")
HOST = re.compile(r"[^\s/:@\[\]]+|\[?[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*\]?")
QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SIGNING_PREFIX = "whsec_"
STORE = re.compile(r"file:///[^\s?#]+|s3://[a-z0-9][a-z0-9._-]*(?:/[^\s?#@]*)?")
URL_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


def parts(value: str) -> tuple[str, ...]:
    """The parts of a comma-separated value, without the empty ones."""
    return tuple(filter(None, map(str.strip, value.split(","))))


def keys_of(pairs: Iterable[str]) -> tuple[str, ...]:
    """The keys of `name:key` pairs, without their names. Raises ValueError, which tells no key."""
    return tuple(_key(pair.strip()) for pair in pairs if pair.strip())


def keys_of_file(text: str) -> tuple[str, ...]:
    """The keys of a file of one `name:key` a line; empty lines and those that begin with # are passed over.

    Raises:
        ValueError.
    """
    keys: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            keys += keys_of([] if line.lstrip().startswith("#") else [line])
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    if not keys:
        raise ValueError("holds no key")
    return tuple(keys)


def key_pairs(value: str) -> str:
    """Keys as a variable has them."""
    if not keys_of(parts(value)) and value.strip():
        raise ValueError("holds no key; leave it empty for none")
    return value


def origins(value: str) -> str:
    """Origins of web pages."""
    for origin in parts(value):
        if origin != "*" and not ORIGIN.fullmatch(origin.lower()):
            raise ValueError("should be *, or origins without a path, such as https://example.org, "
                             "separated by commas")
    return value.lower()


def hosts(value: str) -> str:
    """Names of hosts."""
    for host in parts(value):
        if not HOST.fullmatch(host):
            raise ValueError("should be names of hosts without a port, separated by commas")
    return value.lower()


def url_prefix(value: str) -> str:
    """The path below which a proxy serves us."""
    value = value.rstrip("/")
    if value and not URL_PREFIX.fullmatch(value):
        raise ValueError("should be a path that begins with a slash, such as /punnet")
    return value


def roles(value: str) -> str:
    """What a machine does, in the order of ROLES."""
    given = parts(value.lower())
    if not given or not {*given} <= {*ROLES}:
        raise ValueError("should be web, jobs, or web,jobs")
    return ",".join(role for role in ROLES if role in given)


def bind(value: str) -> str:
    """Host and port to listen on."""
    if not BIND.fullmatch(value) or not 0 < port(value) < 65536:
        raise ValueError("should be host:port, such as 127.0.0.1:4958 or [::1]:4958")
    return value


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def redis_url(value: str) -> str:
    """Where the queue server is."""
    if value and not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("should begin with redis://, rediss:// or unix://")
    try:
        _ = urlsplit(value).port
    except ValueError:
        raise ValueError("has a port that is no number") from None
    return value


def queue_name(value: str) -> str:
    """The queue's name, which keys and channels begin with: a colon would make two names look like one key, and a
    star would listen to others' channels."""
    if not QUEUE.fullmatch(value):
        raise ValueError("should be at most 100 letters, digits, '.', '_' and '-', and begin with a letter or digit")
    if value == "rq":
        raise ValueError("is what RQ's own keys begin with; choose another")
    return value


def store(value: str) -> str:
    """Where images and results lie: `file:///folder` or `s3://bucket/prefix`."""
    if not value or STORE.fullmatch(value):
        return value
    if "@" in value:
        raise ValueError("should hold no credentials: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                         "~/.aws or the machine's role")
    raise ValueError("should be file:///folder or s3://bucket/prefix")


def webhook_secret(value: str) -> str:
    """The key that webhooks are signed with, as Standard Webhooks writes it. The error does not tell it."""
    try:
        key = base64.b64decode(value.removeprefix(SIGNING_PREFIX), validate=True)
    except ValueError:
        key = b""
    if value and not (value.startswith(SIGNING_PREFIX) and 24 <= len(key) <= 64):
        raise ValueError("should be whsec_ and the base64 of 24 to 64 bytes: "
                         "echo whsec_$(openssl rand -base64 32) makes one")
    return value


def is_loopback(host: str) -> bool:
    """Whether a name or an address, without a port, means this machine and no other."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _key(pair: str) -> str:
    name, _, key = (part.strip() for part in pair.partition(":"))
    if not name or not key:
        raise ValueError("should be name:key pairs")
    if not KEY.fullmatch(key):
        raise ValueError(f"the key of {name!a} has characters that a header cannot carry; "
                         "letters, digits and punctuation of ASCII can be used")
    return key
