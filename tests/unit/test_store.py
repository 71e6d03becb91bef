import time
from pathlib import Path

import pytest
from redis import Redis

from jobs.errors import ImageLost
from jobs.store import PARTIAL, EndedImages, FolderStore, ImageStore, RedisStore


@pytest.fixture(params=["folder", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, redis: Redis) -> ImageStore:
    return FolderStore(tmp_path) if request.param == "folder" else RedisStore(redis)


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


def test_old_images_are_found(store: ImageStore) -> None:
    store.put("a", b"x")
    store.put("b", b"x")
    assert sorted(store.ids_older_than(-1)) == ["a", "b"]
    assert store.ids_older_than(3600) == []


def test_what_a_crash_left_half_written_is_found_and_deleted(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / f"a{PARTIAL}").write_bytes(b"half")
    for job_id in store.ids_older_than(-1):
        store.delete(job_id)
    assert store.total_bytes() == 0


def test_an_image_in_redis_does_not_stay_for_ever(redis: Redis) -> None:
    RedisStore(redis).put("a", b"x")
    assert redis.ttl(RedisStore(redis).KEY + "a") > 0


@pytest.fixture
def ended(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> EndedImages:
    monkeypatch.setattr("jobs.store.PRUNE_S", 0)
    return EndedImages(store, keep_s=60, max_bytes=100)


def test_images_of_ended_jobs_are_kept_while_there_is_room_the_newest_first(ended: EndedImages) -> None:
    for number in range(5):
        ended.keep(f"job{number}", bytes(40))
        time.sleep(0.002)  # files and scores tell ages by the clock
    assert [ended.get(f"job{number}") for number in (3, 4)] == [bytes(40)] * 2
    for number in range(3):
        with pytest.raises(ImageLost, match="application/json"):
            ended.get(f"job{number}")


def test_images_of_ended_jobs_go_with_their_results(store: ImageStore) -> None:
    ended = EndedImages(store, keep_s=-1, max_bytes=100)
    store.put("old", b"x")
    ended.prune()
    with pytest.raises(ImageLost):
        ended.get("old")


def test_thousands_of_ended_images_are_not_looked_at_for_each_job(store: ImageStore) -> None:
    ended, looks = EndedImages(store, keep_s=60, max_bytes=100), []
    ended.prune = lambda: looks.append(1)  # type: ignore[method-assign]
    for number in range(5):
        ended.keep(f"job{number}", b"x")
    assert len(looks) == 1
