"""What predictions took, in the queue server: all processes learn from all."""

import json
import logging
import time
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError

from jobs.clock import server_time_s
from jobs.keys import DEFAULT_QUEUE, key

KEY = "costs"
KEPT_S = 24 * 3600
KEPT = 12  # samples of a bin
COMPARED_S = 60  # between two looks at the queue server's clock
RENEWED_S = 5  # between two samples of a full bin: more would tell the same
log = logging.getLogger(__name__)
Snapshot = dict[str, list[list[Any]]]  # samples by bin, the newest first; each begins with its time


class SharedCosts:
    """One process's access. Two that write a bin at once lose a sample, which is one of many."""

    def __init__(self, client: Redis, queue_name: str = DEFAULT_QUEUE) -> None:
        self._client, self._key = client, key(queue_name, KEY)
        self._ahead_s, self._compared_at = 0, float("-inf")
        self._seen: dict[bytes, bytes] = {}
        self._full_until: dict[str, float] = {}  # by bin, of time.monotonic

    def exchange(self, news: Snapshot) -> Snapshot:
        """Give what is new here, take what is new elsewhere; nothing while the queue server is away."""
        try:
            ahead_s = self._server_is_ahead_s()
            if news:
                self._write(_dated(news, ahead_s))
            found = cast(dict[bytes, bytes], self._client.hgetall(self._key))
        except RedisError as error:
            log.debug("costs are not shared just now: %s", error)
            return {}
        changed = {name.decode(): json.loads(samples) for name, samples in found.items()
                   if self._seen.get(name) != samples}
        self._seen = found
        self._forget_old(changed)
        return _dated(changed, -ahead_s)

    def give(self, news: Snapshot) -> None:
        """Add new samples to those of their bins, for who learns nothing; not while the queue server is away."""
        now = time.monotonic()
        try:
            self._add({name: rows for name, rows in news.items() if now >= self._full_until.get(name, now)})
        except RedisError as error:
            log.debug("costs are not shared just now: %s", error)

    def _add(self, news: Snapshot) -> None:
        if not news:
            return
        found = cast(list[bytes | None], self._client.hmget(self._key, list(news)))
        dated = _dated(news, self._server_is_ahead_s())
        for (name, samples), kept in zip(dated.items(), found, strict=True):
            self._add_to_bin(name, json.loads(kept or b"[]"), samples)

    def _add_to_bin(self, name: str, kept: list[list[Any]], samples: list[list[Any]]) -> None:
        """A full bin that has a new sample is left alone for a while, without being looked at."""
        merged = _merged(kept, samples)
        if merged:
            self._write({name: merged})
        elif kept:
            self._full_until[name] = time.monotonic() + RENEWED_S - (samples[0][0] - kept[0][0])

    def _write(self, news: Snapshot) -> None:
        self._client.hset(self._key, mapping={name: json.dumps(samples) for name, samples in news.items()})

    def _server_is_ahead_s(self) -> int:
        """Whole seconds by which the queue server's clock is ahead of this machine's: which samples are the newest, of
        all machines, is told by that clock."""
        if time.monotonic() - self._compared_at >= COMPARED_S:
            self._ahead_s = round(server_time_s(self._client) - time.time())
            self._compared_at = time.monotonic()
        return self._ahead_s

    def _forget_old(self, changed: Snapshot) -> None:
        now_s = time.time() + self._ahead_s
        old = [name for name, samples in changed.items() if not samples or now_s - samples[0][0] > KEPT_S]
        if old:
            self._client.hdel(self._key, *old)


def _dated(samples: Snapshot, later_s: int) -> Snapshot:
    """The same samples, by another clock."""
    return {name: [[moment + later_s, *rest] for moment, *rest in found] for name, found in samples.items()}


def _merged(kept: list[list[Any]], news: list[list[Any]]) -> list[list[Any]]:
    """The newest samples of a bin; nothing where the bin is full and has a sample that is new enough."""
    if len(kept) >= KEPT and max(sample[0] for sample in news) - kept[0][0] < RENEWED_S:
        return []
    return sorted([*kept, *news], key=lambda sample: -sample[0])[:KEPT]
