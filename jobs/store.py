"""Which store a service uses: the one that PUNNET_STORE names, a folder beside the embedded queue server, or else the
queue server itself."""

from redis import Redis

from jobs.room import Room
from jobs.stores.contract import Store
from jobs.stores.folder import FolderStore
from jobs.stores.in_redis import SPARE_TTL_S, RedisStore
from jobs.stores.named import named_store
from settings import Settings


def make_store(client: Redis, settings: Settings) -> Store:
    """Where images and large results of jobs lie."""
    if settings.store:
        return named_store(settings)
    if settings.embedded:
        return FolderStore(settings.state_dir, Room(settings.state_dir, settings.state.ended))
    return RedisStore(client, settings.queue, SPARE_TTL_S + settings.result_ttl_s)


def blocks(settings: Settings) -> bool:
    """Whether the store's calls hold up an event loop: a disk's do, while sockets yield."""
    return settings.store.startswith("file:") if settings.store else settings.embedded
