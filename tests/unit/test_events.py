import socketserver
import threading
import time
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest
from redis import Redis
from redis.client import PubSub

from jobs import events as events_module
from jobs.events import JobEvents, announce
from jobs.keys import DEFAULT_QUEUE

PATIENCE_S = 20.0


class Counting(fakeredis.FakeRedis):
    """Counts the subscriptions that were tried."""

    attempts = 0

    def pubsub(self, **options: Any) -> PubSub:
        self.attempts += 1
        return super().pubsub(**options)


@pytest.fixture
def events(server: fakeredis.FakeServer) -> JobEvents:
    events = JobEvents(fakeredis.FakeRedis(server=server))
    events.start()
    return events


def tell(redis: Redis, job_id: str = "a") -> None:
    with redis.pipeline() as pipeline:
        announce(pipeline, job_id, DEFAULT_QUEUE)
        pipeline.execute()


def until(seen: Callable[[], bool], do: Callable[[], object] = lambda: None) -> bool:
    """Whether it is seen in time, by doing something again and again: the subscription may come up later than the
    first word."""
    deadline = time.monotonic() + PATIENCE_S
    while not seen() and time.monotonic() < deadline:
        do()
        time.sleep(0.01)
    return seen()


def test_who_watches_a_job_hears_of_it(events: JobEvents, redis: Redis) -> None:
    with events.watching("a") as news, events.watching("a") as others, events.watching("b") as of_another:
        assert until(lambda: news.is_set() and others.is_set(), lambda: tell(redis))
        of_another.clear()  # set by the subscription itself: news may have been missed before it
        tell(redis)
        assert not of_another.wait(0.05)


def test_who_leaves_hears_nothing_more(events: JobEvents, redis: Redis) -> None:
    left, stays = threading.Event(), threading.Event()
    for event in (left, stays):
        events.hear("a", event.set)
    assert until(left.is_set, lambda: tell(redis))
    events.leave("a", left.set)
    left.clear()
    stays.clear()
    assert until(stays.is_set, lambda: tell(redis))
    assert not left.is_set()


def test_everything_that_happens_to_a_job_is_counted(redis: Redis) -> None:
    for _ in range(3):
        tell(redis)
    assert redis.hget("rq:job:a", events_module.CHANGES) == b"3"


def test_a_subscription_that_comes_back_has_all_look_again(server: fakeredis.FakeServer,
                                                           caplog: pytest.LogCaptureFixture) -> None:
    """What was announced while it was away was missed. It is said once that it is away, and once that it is back."""
    server.connected = False
    client = Counting(server=server, max_connections=2)
    events = JobEvents(client)
    events.start()
    with events.watching("a") as news:
        assert until(lambda: client.attempts >= 5)
        assert not news.is_set()
        server.connected = True
        assert news.wait(PATIENCE_S)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "no news of jobs until the queue server is back", "the queue server is back"]


class Silent(socketserver.StreamRequestHandler):
    """A queue server that takes subscriptions, and says nothing more."""

    connections = 0

    def handle(self) -> None:
        type(self).connections += 1
        while line := self.rfile.readline():
            if line.strip().upper() in (b"HELLO", b"CLIENT"):
                self.wfile.write(b"-ERR this server knows no such command\r\n")


def test_a_server_that_says_nothing_is_asked_and_then_connected_to_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that was cut without a word looks like one on which nothing happens."""
    monkeypatch.setattr(events_module, "SILENCE_S", 0.05)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        JobEvents(Redis(port=server.server_address[1], protocol=2)).start()
        assert until(lambda: Silent.connections >= 3)
        server.shutdown()


def test_a_server_on_which_nothing_happens_keeps_its_subscription(server: fakeredis.FakeServer,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "SILENCE_S", 0.05)
    client = Counting(server=server)
    JobEvents(client).start()
    time.sleep(0.5)
    assert client.attempts == 1
