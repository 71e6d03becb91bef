"""Poison images in the queue server, so that an image that ended two predictors of one machine is not tried by another.

Each machine looks at files of its own before it computes. Here these files are exchanged, each second; so nothing waits
for the queue server, and while it is away each machine knows what it knew. Ages are told, by the queue server's clock:
no two machines' clocks are compared.
"""

import logging
from collections.abc import Callable, Mapping
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from jobs.keys import key

KEY = "poison"  # a sorted set: names of images, by the moment when they became poison
REMEMBERED_S = 3600
log = logging.getLogger(__name__)


class SharedPoison:
    """One process's part. `ages_s` gives the images that this machine knows and since how many seconds, `learn` takes
    those that it does not know yet."""

    def __init__(self, client: Redis, queue_name: str, ages_s: Callable[[], Mapping[str, float]],
                 learn: Callable[[Mapping[str, float]], None]) -> None:
        self._client, self._key = client, key(queue_name, KEY)
        self._ages_s, self._learn = ages_s, learn

    def exchange(self) -> None:
        """Give what is known here alone, take what is known elsewhere; neither while the queue server is away."""
        try:
            self._exchange()
        except RedisError as error:
            log.debug("poison images are not shared just now: %s", error)

    def _exchange(self) -> None:
        own, (now_s, moments) = self._ages_s(), self._read()
        if news := {name: now_s - age_s for name, age_s in own.items() if name not in moments}:
            self._give(news)
        ages_s = {name: max(0.0, now_s - moment) for name, moment in moments.items() if name not in own}
        if news := {name: age_s for name, age_s in ages_s.items() if age_s < REMEMBERED_S}:
            self._learn(news)
        if len(news) < len(ages_s):
            self._client.zremrangebyscore(self._key, "-inf", now_s - REMEMBERED_S)

    def _read(self) -> tuple[float, dict[str, float]]:
        """What the queue server's clock shows, and the moments by which it knows the images."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.zrange(self._key, 0, -1, withscores=True)
            (seconds, microseconds), entries = pipeline.execute()
        return seconds + microseconds / 1e6, {name.decode(): moment for name, moment
                                              in cast(list[tuple[bytes, float]], entries)}

    def _give(self, moments: Mapping[str, float]) -> None:
        with self._client.pipeline() as pipeline:
            pipeline.zadd(self._key, dict(moments), nx=True)
            pipeline.expire(self._key, REMEMBERED_S)
            pipeline.execute()
