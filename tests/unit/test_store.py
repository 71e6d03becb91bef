import os
import sys
from pathlib import Path
from types import SimpleNamespace

import fakeredis
import pytest
from redis import Redis

from jobs.errors import ImageLost, NotStored, StoreAway
from jobs.images import Images
from jobs.room import RESERVE_BYTES
from jobs.store import RedisStore, make_store
from jobs.stores import named
from jobs.stores.folder import FolderStore
from settings import ROOT, SettingsError
from tests.unit.conftest import MakeSettings

BLOCK = 1000  # bytes of the disk that is made up below


class Disk:
    """Its numbers as the system would tell them: a file takes what it has, and something else the rest."""

    def __init__(self, folder: Path, blocks: int, taken_by_others: int) -> None:
        self.folder, self.blocks, self.taken_by_others = folder, blocks, taken_by_others

    def statvfs(self, _: Path) -> SimpleNamespace:
        taken = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file()) // BLOCK
        free = max(0, self.blocks - taken - self.taken_by_others)
        return SimpleNamespace(f_blocks=self.blocks, f_bavail=free, f_frsize=BLOCK)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path, blocks=100, taken_by_others=0)
    monkeypatch.setattr(os, "statvfs", disk.statvfs)
    FolderStore(tmp_path).make_folders()
    return disk


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_kept_images_give_way_to_a_new_job_the_oldest_first(disk: Disk, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for number in range(4):
        store.put(f"ended/job{number}", bytes(20 * BLOCK))
        os.utime(tmp_path / "ended" / f"job{number}", (number, number))
    store.put("spool/new", bytes(30 * BLOCK))  # a tenth of the disk stays free
    assert names(tmp_path / "ended") == ["job1", "job2", "job3"]


def test_a_new_job_is_refused_where_nothing_more_can_give_way(disk: Disk, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("ended/old", bytes(10 * BLOCK))
    disk.taken_by_others = 85
    assert store.make_room() is None
    with pytest.raises(OSError, match="disk of the state folder is full"):
        store.put("spool/new", bytes(10 * BLOCK))
    assert names(tmp_path / "spool") == names(tmp_path / "ended") == []
    disk.taken_by_others = 95
    assert store.make_room() == 5 * BLOCK


def test_of_a_large_disk_no_tenth_stays_free(disk: Disk, tmp_path: Path) -> None:
    disk.blocks = 10**9
    disk.taken_by_others = 10**9 - RESERVE_BYTES // BLOCK
    assert FolderStore(tmp_path).make_room() is None


def test_a_store_in_redis_leaves_room_to_its_server(redis: Redis) -> None:
    assert RedisStore(redis).make_room() is None


def test_what_is_in_redis_does_not_stay_for_ever(redis: Redis) -> None:
    RedisStore(redis, ttl_s=70).put("spool/a", b"x")
    assert redis.ttl("punnet:store:spool/a") == 70


def test_results_in_the_queue_servers_memory_are_counted(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.stores.in_redis.SUM_S", 0)
    store = RedisStore(redis)
    store.put("spool/a", bytes(50))
    for size in (100, 30, 7):
        store.put("results/a", bytes(size))
        store.put("results/b", bytes(size))
    assert store.memory_bytes() == 14
    store.delete("results/a", "results/b", "results/absent", "spool/a")
    assert store.memory_bytes() == 0
    assert redis.keys("*") == []


def test_a_large_value_in_redis_is_read_in_pieces(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.stores.in_redis.PIECE_BYTES", 100)
    store, value = RedisStore(redis), bytes(range(250))
    store.put("results/a", value)
    assert store.get("results/a") == value
    monkeypatch.setattr(redis, "strlen", lambda name: 300)
    with pytest.raises(NotStored):
        store.get("results/a")


def test_a_folder_that_is_gone_is_a_store_that_is_away(tmp_path: Path) -> None:
    """A share that is not mounted any more has not lost its files."""
    store = FolderStore(tmp_path / "shared")
    with pytest.raises(StoreAway):
        store.get("spool/a")
    with pytest.raises(OSError, match="No such file"):
        store.put("spool/a", b"x")
    assert not (tmp_path / "shared").exists()


@pytest.fixture
def images(redis: Redis) -> Images:
    return Images(RedisStore(redis))


def test_an_image_can_be_read_until_its_job_is_forgotten(images: Images) -> None:
    images.put("a", b"image")
    images.keep("a")
    assert images.get("a") == b"image"


def test_a_missing_image_is_lost(images: Images) -> None:
    images.put("a", b"image")
    images.delete("a")
    for job_id in ("a", "absent"):
        with pytest.raises(ImageLost, match=f"job {job_id}"):
            images.get(job_id)


@pytest.mark.parametrize("embedded", [True, False])
def test_the_store_that_is_named_is_used_wherever_the_queue_server_is(make_settings: MakeSettings, tmp_path: Path,
                                                                      embedded: bool) -> None:
    redis_url = "" if embedded else "redis://outside"
    settings = make_settings(store=f"file://{tmp_path}", redis_url=redis_url, queue="strawberries")
    named.check(settings)
    make_store(fakeredis.FakeRedis(), settings).put("spool/a", b"x")
    assert (tmp_path / "strawberries" / "spool" / "a").read_bytes() == b"x"
    assert names(tmp_path / "strawberries") == ["ended", "results", "spool"]


def test_a_folder_that_is_not_there_stops_the_start(make_settings: MakeSettings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PUNNET_STORE=.*no such folder; is it mounted"):
        named.check(make_settings(store=f"file://{tmp_path}/absent"))


def test_a_folder_that_cannot_be_written_to_stops_the_start(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "punnet").write_text("no folder")
    with pytest.raises(SettingsError, match=r"PUNNET_STORE=.*cannot be used"):
        named.check(make_settings(store=f"file://{tmp_path}"))


def test_where_botocore_is_missing_the_line_to_run_is_told(make_settings: MakeSettings,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jobs.stores.in_s3", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "botocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(SettingsError, match=r"pip install -r requirements-s3\.txt") as caught:
        named.check(make_settings(store="s3://bucket/prefix"))
    assert "\n" not in str(caught.value)
    assert (ROOT / "requirements-s3.txt").is_file()
