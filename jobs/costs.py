"""What predictions took, in the queue server: all processes learn from all."""

import json
import logging
import time
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError

KEY = "punnet:costs"
KEPT_S = 24 * 3600
log = logging.getLogger(__name__)
Snapshot = dict[str, list[list[Any]]]  # samples by bin, the newest first; each begins with its time


class SharedCosts:
    """One process's access. Two that write a bin at once lose a sample, which is one of many."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._seen: dict[bytes, bytes] = {}

    def exchange(self, news: Snapshot) -> Snapshot:
        """Give what is new here, take what is new elsewhere; nothing while the queue server is away."""
        try:
            if news:
                self._client.hset(KEY, mapping={name: json.dumps(samples) for name, samples in news.items()})
            found = cast(dict[bytes, bytes], self._client.hgetall(KEY))
        except RedisError as error:
            log.debug("costs are not shared just now: %s", error)
            return {}
        changed = {name.decode(): json.loads(samples) for name, samples in found.items()
                   if self._seen.get(name) != samples}
        self._seen = found
        self._forget_old(changed)
        return changed

    def _forget_old(self, changed: Snapshot) -> None:
        old = [name for name, samples in changed.items() if not samples or time.time() - samples[0][0] > KEPT_S]
        if old:
            self._client.hdel(KEY, *old)
