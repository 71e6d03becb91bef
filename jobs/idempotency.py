"""`Idempotency-Key`: what became of a request, so that the same request, sent again, gets the same job or answer.

A request claims its key before anything runs. The claim is good for seconds, by the queue server's clock, and renewed
while the request is under way; so the key of a web process that died becomes free. A job takes the claim's place in the
very step that accepts it, and an inline answer when it is there.
"""

import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from redis import Redis

from jobs.connection import unavailable
from jobs.errors import QueueUnavailable
from jobs.keys import key

KEYS = "idempotency:"
LEASE_S, RENEW_S = 15, 3
log = logging.getLogger(__name__)
# KEYS: what is known of an idempotency key. ARGV: what is asked for, a token, milliseconds, and the field and the value
# of what is known that may be replaced. Returns what is known, nothing where the key is claimed now.
CLAIM = """
local known = redis.call('HGETALL', KEYS[1])
if #known > 0 and (ARGV[4] == '' or redis.call('HGET', KEYS[1], ARGV[4]) ~= ARGV[5]) then return known end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'asked', ARGV[1], 'token', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {}
"""
# Of a claim that is still held. ARGV: its token, milliseconds; names and values that take its place. Without any, it is
# renewed; with neither milliseconds it is let go.
CHANGE = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
if ARGV[3] then
  redis.call('HDEL', KEYS[1], 'token')
  redis.call('HSET', KEYS[1], unpack(ARGV, 3))
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


@dataclass(frozen=True)
class Claim:
    """A key that a request under way has: the name of what the queue server knows of it, and a token."""

    name: str
    token: str


@dataclass(frozen=True)
class Known:
    """What is known of a key: what was `asked` for, and what came of it."""

    asked: str
    fields: Mapping[str, bytes]

    @property
    def under_way(self) -> bool:
        return "token" in self.fields

    @property
    def job_id(self) -> str:
        """"" where no job came of it."""
        return self.fields.get("job", b"").decode()


class Claims:
    """The keys of all owners, for `ttl_s` each."""

    def __init__(self, client: Redis, queue_name: str, ttl_s: int) -> None:
        self._client, self._queue_name, self._ttl_s = client, queue_name, ttl_s
        self._held: set[Claim] = set()

    def start(self) -> None:
        """Renew what is held; after a fork, never before. One thread does it for all: most requests are over before
        they need it, and a thread of its own took a tenth of what their key costs."""
        threading.Thread(target=self._keep_renewing, name="idempotency-keys", daemon=True).start()

    @contextmanager
    def held(self, claim: Claim) -> Iterator[None]:
        """Keep a claim for as long as its request is under way."""
        self._held.add(claim)
        try:
            yield
        finally:
            self._held.discard(claim)

    def claim(self, owner: str, given: str, asked: str, instead_of: tuple[str, str] = ("", "")) -> Claim | Known:
        """The key, or what is known of it. `instead_of`: the field and the value of what may be forgotten.

        Raises:
            QueueUnavailable.
        """
        digest = hashlib.sha256(f"{owner} {given}".encode()).hexdigest()
        claim = Claim(key(self._queue_name, KEYS + digest), uuid.uuid4().hex)
        with unavailable():
            found = cast(list[bytes], self._client.eval(CLAIM, 1, claim.name, asked, claim.token, LEASE_S * 1000,
                                                        *instead_of))
        fields = {name.decode(): value for name, value in zip(found[::2], found[1::2], strict=True)}
        return Known(fields["asked"].decode(), fields) if fields else claim

    def renew(self, claim: Claim) -> None:
        """Raises QueueUnavailable."""
        self._change(claim, LEASE_S)

    def keep(self, claim: Claim, fields: Mapping[str, str | bytes]) -> None:
        """What came of the request, unless it lost its claim. Raises QueueUnavailable."""
        self._change(claim, self._ttl_s, *(part for pair in fields.items() for part in pair))

    def free(self, claim: Claim) -> None:
        """Nothing came of the request: another may have the key. Raises QueueUnavailable."""
        self._change(claim, 0)

    def _keep_renewing(self) -> None:
        while True:
            time.sleep(RENEW_S)
            try:
                for claim in tuple(self._held):
                    self.renew(claim)
            except QueueUnavailable as error:
                log.warning("the Idempotency-Keys of requests under way are not kept just now: %s", error)

    def _change(self, claim: Claim, seconds: int, *fields: str | bytes) -> None:
        with unavailable():
            self._client.eval(CHANGE, 1, claim.name, claim.token, seconds * 1000, *fields)
