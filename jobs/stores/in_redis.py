"""A store in the queue server itself, where nothing else is shared by the machines."""

import io
import time
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline

from jobs.errors import NotStored
from jobs.keys import DEFAULT_QUEUE, key
from jobs.stores.contract import RESULTS, Entry

# Far beyond any queue; only for what a crash left behind where no worker runs any more.
SPARE_TTL_S = 7 * 24 * 3600
SUM_S = 1.0
PIECE_BYTES = 1 << 22
# KEYS: sizes and times of a folder. ARGV: a name, and its bytes.
NOTE = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], redis.call('TIME')[1], ARGV[1])
"""
# KEYS: what is renamed, and to what.
RENAME = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end"


class RedisStore:
    """One key for each name, and for each folder the sizes and times of its names. Deleting takes no command that a
    server refuses whose memory is full."""

    listing_s = 2.0

    def __init__(self, client: Redis, queue_name: str = DEFAULT_QUEUE, ttl_s: int = SPARE_TTL_S) -> None:
        self._client, self._prefix, self._ttl_s = client, key(queue_name, "store:"), ttl_s
        self._summed, self._summed_at = 0, float("-inf")

    def put(self, name: str, data: bytes) -> None:
        with self._client.pipeline() as pipeline:
            pipeline.set(self._prefix + name, data, ex=self._ttl_s)
            self._note(pipeline, name, len(data))
            pipeline.execute()

    def get(self, name: str) -> bytes:
        """In pieces: redis-py holds a large answer three times while it reads it. That may be done because what is put
        again under a large value's name is the same."""
        whole, stored_as = io.BytesIO(), self._prefix + name
        while whole.write(self._piece(stored_as, whole.tell())) == PIECE_BYTES:
            pass
        if not whole.tell() or (whole.tell() >= PIECE_BYTES and self._client.strlen(stored_as) != whole.tell()):
            raise NotStored(f"nothing is stored as {name}")  # or it was deleted between two pieces
        return whole.getvalue()

    def _piece(self, stored_as: str, first: int) -> bytes:
        return cast(bytes, self._client.getrange(stored_as, first, first + PIECE_BYTES - 1))

    def rename(self, name: str, to: str) -> None:
        size = self._client.strlen(self._prefix + name)
        if not size:
            return
        with self._client.pipeline() as pipeline:
            pipeline.eval(RENAME, 2, self._prefix + name, self._prefix + to)
            self._forget(pipeline, name)
            self._note(pipeline, to, size)
            pipeline.execute()

    def delete(self, *names: str) -> None:
        with self._client.pipeline() as pipeline:
            for name in names:
                pipeline.unlink(self._prefix + name)
                self._forget(pipeline, name)
            pipeline.execute()

    def entries(self, folder: str) -> list[Entry]:
        sizes_key, times_key = self._books(folder)
        sizes = cast(dict[bytes, bytes], self._client.hgetall(sizes_key))
        oldest_first: Any = self._client.zrange(times_key, 0, -1, withscores=True)
        now_s = self._client.time()[0]
        return [Entry(name.decode(), int(sizes.get(name, 0)), now_s - time_s) for name, time_s in oldest_first]

    def memory_bytes(self) -> int:
        """As it was SUM_S ago at most: it is asked for each job that is to be accepted."""
        if time.monotonic() - self._summed_at >= SUM_S:
            sizes = cast(list[bytes], self._client.hvals(self._books(RESULTS)[0]))
            self._summed, self._summed_at = sum(map(int, sizes)), time.monotonic()
        return self._summed

    def make_room(self) -> int | None:
        return None

    def _note(self, pipeline: Pipeline, name: str, size_bytes: int) -> None:
        folder, _, last = name.partition("/")
        pipeline.eval(NOTE, 2, *self._books(folder), last, size_bytes)

    def _forget(self, pipeline: Pipeline, name: str) -> None:
        folder, _, last = name.partition("/")
        sizes, times = self._books(folder)
        pipeline.hdel(sizes, last)
        pipeline.zrem(times, last)

    def _books(self, folder: str) -> tuple[str, str]:
        return f"{self._prefix}{folder}-sizes", f"{self._prefix}{folder}-times"
