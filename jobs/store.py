"""The images of jobs: in a folder beside the embedded server, in Redis with an outside one."""

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Protocol, cast

from redis import Redis
from redis.exceptions import RedisError

from jobs.errors import ImageLost
from jobs.keys import DEFAULT_QUEUE, key
from jobs.room import Room
from settings import MEGA, Settings

# Far beyond any queue; only for what a crash left behind where no worker runs any more.
REDIS_TTL_S = 7 * 24 * 3600
PARTIAL = ".partial"
PRUNE_S = 2  # looking at thousands of small images takes longer than a job on one of them
ENDED_SHARE = 4  # images of ended jobs may take a quarter of what those of waiting ones may
log = logging.getLogger(__name__)


class ImageStore(Protocol):
    """Bytes by job id. `delete` and `put` may be repeated."""

    def put(self, job_id: str, data: bytes) -> None: ...

    def get(self, job_id: str) -> bytes:
        """Raises ImageLost."""

    def delete(self, job_id: str) -> None: ...

    def total_bytes(self) -> int:
        """Size of all images together."""

    def sizes(self) -> list[tuple[str, int]]:
        """Job and bytes of each image, the oldest first."""

    def make_room(self) -> int | None:
        """What is free on the disk, where accepted jobs have too little room to end though kept images gave way; None
        where they have enough, as always where the images are not on a disk of ours."""


class FolderStore:
    """One file per job. Not synced to the disk: it outlives every process of ours, as the queue itself does."""

    def __init__(self, folder: Path, room: Room) -> None:
        self._folder, self._room = folder, room

    def put(self, job_id: str, data: bytes) -> None:
        """Raises OSError, also where accepted jobs need what is left of the disk."""
        self._room.check(len(data))
        partial = self._folder / (job_id + PARTIAL)
        try:
            partial.write_bytes(data)
            partial.rename(self._folder / job_id)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def get(self, job_id: str) -> bytes:
        try:
            return (self._folder / job_id).read_bytes()
        except FileNotFoundError as error:
            raise ImageLost(f"the stored image of job {job_id} is gone") from error

    def delete(self, job_id: str) -> None:
        for name in (job_id, job_id + PARTIAL):
            (self._folder / name).unlink(missing_ok=True)

    def total_bytes(self) -> int:
        return sum(status.st_size for _, status in self._files())

    def sizes(self) -> list[tuple[str, int]]:
        found = sorted((status.st_mtime, name, status.st_size) for name, status in self._files())
        return [(name.removesuffix(PARTIAL), size) for _, name, size in found]

    def make_room(self) -> int | None:
        return None if self._room.make() else self._room.free_bytes()

    def _files(self) -> list[tuple[str, os.stat_result]]:
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # its job ended meanwhile
                    found.append((entry.name, entry.stat()))
        return found


class RedisStore:
    """One key per job, and a hash of their sizes and arrival times."""

    def __init__(self, client: Redis, name: str = "image", queue_name: str = DEFAULT_QUEUE) -> None:
        self._client, prefix = client, key(queue_name, name)
        self.KEY, self.SIZES, self.TIMES = f"{prefix}:", f"{prefix}-sizes", f"{prefix}-times"

    def put(self, job_id: str, data: bytes) -> None:
        with self._client.pipeline() as pipeline:
            pipeline.set(self.KEY + job_id, data, ex=REDIS_TTL_S)
            pipeline.hset(self.SIZES, job_id, str(len(data)))
            pipeline.zadd(self.TIMES, {job_id: time.time()})
            pipeline.execute()

    def get(self, job_id: str) -> bytes:
        data = cast(bytes | None, self._client.get(self.KEY + job_id))
        if data is None:
            raise ImageLost(f"the stored image of job {job_id} is gone")
        return data

    def delete(self, job_id: str) -> None:
        with self._client.pipeline() as pipeline:
            pipeline.delete(self.KEY + job_id)
            pipeline.hdel(self.SIZES, job_id)
            pipeline.zrem(self.TIMES, job_id)
            pipeline.execute()

    def total_bytes(self) -> int:
        return sum(map(int, cast(list[bytes], self._client.hvals(self.SIZES))))

    def sizes(self) -> list[tuple[str, int]]:
        sizes = cast(dict[bytes, bytes], self._client.hgetall(self.SIZES))
        oldest_first = cast(list[bytes], self._client.zrange(self.TIMES, 0, -1))
        return [(job_id.decode(), int(sizes.get(job_id, 0))) for job_id in oldest_first]

    def make_room(self) -> int | None:
        return None


class EndedImages:
    """The images of jobs that succeeded, so that their results can be drawn: the newest up to `max_bytes` together,
    for as long as their jobs can be read."""

    def __init__(self, store: ImageStore, max_bytes: int) -> None:
        self.store, self._max_bytes = store, max_bytes
        self._pruned_at = float("-inf")

    def keep(self, job_id: str, data: bytes) -> None:
        """A full disk or queue server costs the drawings, not the result."""
        try:
            self._put(job_id, data)
        except (OSError, RedisError) as error:
            log.warning("the image of job %s is not kept: %s", job_id, error)

    def _put(self, job_id: str, data: bytes) -> None:
        self.store.put(job_id, data)
        if time.monotonic() - self._pruned_at >= PRUNE_S:
            self._pruned_at = time.monotonic()
            self.prune()

    def get(self, job_id: str) -> bytes:
        """Raises ImageLost, with what to do."""
        try:
            return self.store.get(job_id)
        except ImageLost as error:
            raise ImageLost(f"{error}; its result can still be read as application/json") from error

    def prune(self) -> None:
        """Delete the oldest of what is too much."""
        sizes = self.store.sizes()
        excess = sum(size for _, size in sizes) - self._max_bytes
        for job_id, size in sizes:
            if excess <= 0:
                break
            self.store.delete(job_id)
            excess -= size


def make_store(client: Redis, settings: Settings) -> ImageStore:
    """Where the images of waiting and running jobs lie."""
    return _folder(settings, settings.state.spool) if settings.embedded else RedisStore(client, "image", settings.queue)


def make_ended_store(client: Redis, settings: Settings) -> EndedImages:
    """Where the images of jobs that succeeded lie, for as long as their results are kept and while there is room."""
    outside = RedisStore(client, "ended-image", settings.queue)
    store = _folder(settings, settings.state.ended) if settings.embedded else outside
    return EndedImages(store, int(settings.queue_max_mb * MEGA / ENDED_SHARE))


def _folder(settings: Settings, folder: Path) -> FolderStore:
    return FolderStore(folder, Room(settings.state_dir, settings.state.ended))
