import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from redis import Redis

from jobs.errors import ImageLost
from jobs.room import RESERVE_BYTES, Room
from jobs.store import PARTIAL, EndedImages, FolderStore, ImageStore, RedisStore

BLOCK = 1000  # bytes of the disk that is made up below


@pytest.fixture(params=["folder", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, redis: Redis) -> ImageStore:
    return folder_store(tmp_path) if request.param == "folder" else RedisStore(redis)


def folder_store(folder: Path) -> FolderStore:
    return FolderStore(folder, Room(folder, folder))


def test_what_is_put_can_be_got_until_it_is_deleted(store: ImageStore) -> None:
    store.put("a", b"\0\xffbytes")
    assert store.get("a") == b"\0\xffbytes"
    assert store.get("a") == b"\0\xffbytes"
    store.delete("a")
    with pytest.raises(ImageLost, match="job a"):
        store.get("a")


def test_a_missing_image_is_lost(store: ImageStore) -> None:
    with pytest.raises(ImageLost, match="job absent"):
        store.get("absent")


def test_putting_and_deleting_may_be_repeated(store: ImageStore) -> None:
    store.put("a", b"old one")
    store.put("a", b"new")
    assert (store.get("a"), store.total_bytes()) == (b"new", 3)
    store.delete("a")
    store.delete("a")
    assert store.total_bytes() == 0


def test_the_bytes_of_all_images_are_counted(store: ImageStore) -> None:
    assert store.total_bytes() == 0
    for job_id, size in (("a", 10), ("b", 300), ("c", 0)):
        store.put(job_id, b"x" * size)
    assert store.total_bytes() == 310


def test_all_images_are_listed(store: ImageStore) -> None:
    store.put("a", b"x")
    store.put("b", b"x")
    assert sorted(store.sizes()) == [("a", 1), ("b", 1)]


def test_what_a_crash_left_half_written_is_found_and_deleted(tmp_path: Path) -> None:
    store = folder_store(tmp_path)
    (tmp_path / f"a{PARTIAL}").write_bytes(b"half")
    for job_id, _ in store.sizes():
        store.delete(job_id)
    assert store.total_bytes() == 0


def test_an_image_in_redis_does_not_stay_for_ever(redis: Redis) -> None:
    RedisStore(redis).put("a", b"x")
    assert redis.ttl(RedisStore(redis).KEY + "a") > 0


@pytest.fixture
def ended(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> EndedImages:
    monkeypatch.setattr("jobs.store.PRUNE_S", 0)
    return EndedImages(store, max_bytes=100)


def test_images_of_ended_jobs_are_kept_while_there_is_room_the_newest_first(ended: EndedImages) -> None:
    for number in range(5):
        ended.keep(f"job{number}", bytes(40))
        time.sleep(0.002)  # files and scores tell ages by the clock
    assert [ended.get(f"job{number}") for number in (3, 4)] == [bytes(40)] * 2
    for number in range(3):
        with pytest.raises(ImageLost, match="application/json"):
            ended.get(f"job{number}")


def test_thousands_of_ended_images_are_not_looked_at_for_each_job(store: ImageStore) -> None:
    ended, looks = EndedImages(store, max_bytes=100), []
    ended.prune = lambda: looks.append(1)  # type: ignore[method-assign]
    for number in range(5):
        ended.keep(f"job{number}", b"x")
    assert len(looks) == 1


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
    for name in ("spool", "ended"):
        (tmp_path / name).mkdir()
    return disk


def on_disk(tmp_path: Path) -> tuple[FolderStore, EndedImages]:
    room = Room(tmp_path, tmp_path / "ended")
    return FolderStore(tmp_path / "spool", room), EndedImages(FolderStore(tmp_path / "ended", room), max_bytes=10**9)


def test_kept_images_give_way_to_a_new_job_the_oldest_first(disk: Disk, tmp_path: Path) -> None:
    spool, ended = on_disk(tmp_path)
    for number in range(4):
        ended.keep(f"job{number}", bytes(20 * BLOCK))
        os.utime(tmp_path / "ended" / f"job{number}", (number, number))
    spool.put("new", bytes(30 * BLOCK))  # a tenth of the disk stays free
    assert sorted(file.name for file in (tmp_path / "ended").iterdir()) == ["job1", "job2", "job3"]


def test_a_new_job_is_refused_where_nothing_more_can_give_way(disk: Disk, tmp_path: Path) -> None:
    spool, ended = on_disk(tmp_path)
    ended.keep("old", bytes(10 * BLOCK))
    disk.taken_by_others = 85
    assert spool.make_room() is None
    with pytest.raises(OSError, match="disk of the state folder is full"):
        spool.put("new", bytes(10 * BLOCK))
    assert list((tmp_path / "spool").iterdir()) == list((tmp_path / "ended").iterdir()) == []
    disk.taken_by_others = 95
    assert spool.make_room() == 5 * BLOCK


def test_a_kept_image_never_takes_the_room_that_jobs_end_in(disk: Disk, tmp_path: Path) -> None:
    disk.taken_by_others = 85
    on_disk(tmp_path)[1].keep("job", bytes(10 * BLOCK))
    assert list((tmp_path / "ended").iterdir()) == []


def test_of_a_large_disk_no_tenth_stays_free(disk: Disk, tmp_path: Path) -> None:
    disk.blocks = 10**9
    disk.taken_by_others = 10**9 - RESERVE_BYTES // BLOCK
    assert on_disk(tmp_path)[0].make_room() is None


def test_a_store_in_redis_leaves_room_to_its_server(redis: Redis) -> None:
    assert RedisStore(redis).make_room() is None
