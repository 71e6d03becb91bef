"""One contract for every store: a folder, one that two machines share, a real queue server, a bucket."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError

from jobs.errors import NotStored, StoreAway
from jobs.store import RedisStore
from jobs.stores import named
from jobs.stores.contract import SPOOL, Store
from jobs.stores.folder import FolderStore
from ops import queue_server
from settings import ROOT, Settings, SettingsError
from state_dir import StateDir
from tests.integration.bucket import Bucket, running_bucket
from tests.integration.server import wait_until

KINDS = ("folder", "shared", "redis", "s3")


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    state = StateDir(tmp_path_factory.mktemp("redis"))
    state.queue_dir.mkdir()
    server = subprocess.Popen(queue_server.command(queue_server.find(), state), stdout=subprocess.DEVNULL)
    client = Redis(unix_socket_path=str(state.queue_socket))
    try:
        wait_until(lambda: state.queue_socket.exists() and client.ping(), 10)
        yield client
    finally:
        server.terminate()
        server.wait()


@dataclass(frozen=True)
class Pair:
    """A store as two processes have it."""

    one: Store
    other: Store


def settings(store: str) -> Settings:
    return Settings(store=store, redis_url="redis://elsewhere", queue=f"test{time.monotonic_ns()}")


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    if request.param == "redis":
        client = request.getfixturevalue("redis")
        client.flushall()
        return Pair(RedisStore(client), RedisStore(client))
    if request.param == "folder":
        FolderStore(tmp_path).make_folders()
        return Pair(FolderStore(tmp_path), FolderStore(tmp_path))
    if request.param == "shared":
        url = settings(f"file://{tmp_path}")
    else:
        url = settings(request.getfixturevalue("bucket").url)
    named.check(url)
    return Pair(named.named_store(url), named.named_store(url))


@pytest.fixture
def store(stores: Pair) -> Store:
    return stores.one


def listed(store: Store, folder: str = SPOOL) -> list[tuple[str, int]]:
    return [(entry.name, entry.size_bytes) for entry in store.entries(folder)]


def test_what_one_puts_the_other_gets_until_it_is_deleted(stores: Pair) -> None:
    stores.one.put("spool/a", b"\0\xffbytes")
    for _ in range(2):
        assert stores.other.get("spool/a") == b"\0\xffbytes"
    stores.other.delete("spool/a")
    with pytest.raises(NotStored):
        stores.one.get("spool/a")


def test_what_was_never_put_is_not_stored(store: Store) -> None:
    for name in ("spool/absent", "results/absent.b"):
        with pytest.raises(NotStored):
            store.get(name)


def test_every_call_may_be_repeated(store: Store) -> None:
    for data in (b"old one", b"new"):
        store.put("spool/a", data)
    assert listed(store) == [("a", 3)]
    for _ in range(2):
        store.rename("spool/a", "ended/a")
    assert (store.get("ended/a"), listed(store), listed(store, "ended")) == (b"new", [], [("a", 3)])
    for _ in range(2):
        store.delete("ended/a", "ended/absent")
    assert listed(store, "ended") == []
    store.delete()


def test_names_are_listed_with_their_sizes_the_oldest_first_and_by_folder(store: Store) -> None:
    store.put("spool/b", bytes(10))
    time.sleep(0.02 if isinstance(store, FolderStore) else 1.1)  # some clocks count seconds
    for name, size in (("a", 300), ("c.d", 0)):
        store.put(f"spool/{name}", bytes(size))
    store.put("results/a", b"x")
    found = store.entries(SPOOL)
    assert sorted(listed(store)) == [("a", 300), ("b", 10), ("c.d", 0)]
    assert found[0].name == "b"
    assert all(-0.1 <= entry.age_s < 30 for entry in found)
    assert listed(store, "results") == [("a", 1)]
    assert listed(store, "ended") == []


def test_a_large_value_is_never_read_by_halves(stores: Pair) -> None:
    """While one writes again and again, the other reads what was whole once."""
    values, ended = [bytes([number]) * 1_000_000 for number in range(2)], threading.Event()
    stores.one.put("results/a", values[0])

    def write() -> None:
        while not ended.is_set():
            for value in values:
                stores.one.put("results/a", value)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(stores.other.get("results/a") in values for _ in range(6))
    finally:
        ended.set()
        writer.join()


def test_a_queue_server_whose_memory_is_full_still_lets_go(redis: Redis) -> None:
    store = RedisStore(redis)
    for name in ("results/a", "ended/a"):
        store.put(name, b"x")
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            store.put("results/b", b"x")
        store.delete("results/a", "ended/a")
    finally:
        redis.config_set("maxmemory", 0)
    assert listed(store, "results") == listed(store, "ended") == []


def test_what_a_crash_left_half_written_is_listed_but_not_read(tmp_path: Path) -> None:
    FolderStore(tmp_path).make_folders()
    crashed = subprocess.Popen([sys.executable, "-c", PUT_FOR_EVER, str(tmp_path)], cwd=ROOT)
    store = FolderStore(tmp_path)
    [name] = wait_until(lambda: [entry.name for entry in store.entries(SPOOL)], 10)
    crashed.kill()
    crashed.wait()
    with pytest.raises(NotStored):
        store.get("spool/a")
    assert name.startswith("a.")
    store.delete(f"spool/{name}")
    assert listed(store) == []


PUT_FOR_EVER = """
import sys, time
from pathlib import Path
from jobs.stores.folder import FolderStore
Path.rename = lambda *_: time.sleep(60)
FolderStore(Path(sys.argv[1])).put("spool/a", b"half")
"""
# What a web process is: gevent's from the first line on. The store's calls must let others go on meanwhile.
BESIDE_GEVENT = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
from jobs.stores.named import named_store
from settings import Settings
store = named_store(Settings(store=sys.argv[1], redis_url="redis://elsewhere", queue="gevent"))
store.put("spool/first", b"x")  # connects
gaps, last = [], time.process_time()
def tick():
    global last
    while True:
        gevent.sleep(0.001)
        now = time.process_time(); gaps.append(now - last); last = now
ticking = gevent.spawn(tick)
def use(number):
    data = bytes([number]) * 4_000_000
    store.put(f"spool/{number}", data)
    store.rename(f"spool/{number}", f"ended/{number}")
    assert store.get(f"ended/{number}") == data
gevent.joinall([gevent.spawn(use, number) for number in range(8)], raise_error=True)
assert len(store.entries("ended")) == 8
store.delete(*(f"ended/{number}" for number in range(8)), "spool/first")
print(max(gaps), len(gaps))
"""


def test_a_bucket_serves_a_web_process_without_holding_it_up(bucket: Bucket) -> None:
    done = subprocess.run([sys.executable, "-c", BESIDE_GEVENT, bucket.url], cwd=ROOT, env=bucket.environment,
                          capture_output=True, text=True, timeout=60, check=True)
    longest_gap_s, turns = map(float, done.stdout.split())  # of the processor's time: the machine may be busy
    assert longest_gap_s < 0.15
    assert turns > 50


def test_a_store_serves_a_process_and_those_that_it_forks(bucket: Bucket) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED, bucket.url], cwd=ROOT, env=bucket.environment,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


FORKED = """
import os, sys
from jobs.stores.named import named_store
from settings import Settings
store = named_store(Settings(store=sys.argv[1], redis_url="redis://elsewhere", queue="forked"))
store.put("spool/parent", b"parent")
children = []
for number in range(3):
    if not (pid := os.fork()):
        for turn in range(5):
            store.put(f"spool/{number}", bytes([turn]))
            assert store.get(f"spool/{number}") == bytes([turn]) and store.get("spool/parent") == b"parent"
        os._exit(0)
    children.append(pid)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
assert store.get("spool/parent") == b"parent"
"""


@pytest.mark.parametrize(("wrong", "told"), [
    (lambda bucket: bucket.variables(bucket="absent-bucket"), "NoSuchBucket"),
    (lambda bucket: bucket.variables(endpoint="http://127.0.0.1:9"), "Could not connect"),
    (lambda bucket: bucket.variables(key=""), "credentials"),
])
def test_a_bucket_that_cannot_be_used_is_one_line_at_the_start(
        bucket: Bucket, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Bucket], dict[str, str]], told: str) -> None:
    variables = wrong(bucket)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=told) as caught:
        named.check(Settings(redis_url="redis://elsewhere"))
    assert str(caught.value).startswith("PUNNET_STORE=s3://")
    assert "\n" not in str(caught.value)
    assert bucket.secret not in str(caught.value)


def test_a_bucket_that_went_away_is_told_within_seconds(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store = named.named_store(settings(bucket.url))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    calls: tuple[Callable[[], Any], ...] = (
        lambda: store.put("spool/a", b"x"), lambda: store.get("spool/a"), lambda: store.delete("spool/a"),
        lambda: store.rename("spool/a", "ended/a"), lambda: store.entries(SPOOL))
    for call in calls:
        began = time.monotonic()
        with pytest.raises(StoreAway, match=bucket.name):
            call()
        assert time.monotonic() - began < 5
