"""What is told of an outside queue server before a start; tests/integration/test_queue_trouble.py asks real ones."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobs import server_check
from jobs.server_check import UnfitServer, address, facts_warnings, warnings
from settings import Settings
from tests.unit.conftest import MakeSettings

GOOD = {"redis_version": "7.2.4", "redis_mode": "standalone", "role": "master", "maxmemory_policy": "noeviction"}


@pytest.mark.parametrize(("url", "shown"), [
    ("redis://user:secret@host:6379/0", "redis://host:6379/0"), ("rediss://:se%40cret@host", "rediss://host"),
    ("redis://host/1?password=secret", "redis://host/1"), ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
    ("redis://[::1]:7000", "redis://[::1]:7000")])
def test_an_address_is_shown_without_secrets(url: str, shown: str) -> None:
    assert address(url) == shown


@pytest.mark.parametrize(("facts", "expected"), [
    ({}, []), ({"role": "slave"}, ["read-only replica"]), ({"maxmemory_policy": "allkeys-lru"}, ["noeviction"]),
    ({"redis_version": "6.2.0"}, []), ({"role": "slave", "maxmemory_policy": "volatile-ttl"}, ["replica", "volatile"])])
def test_what_may_cost_jobs_is_a_warning(facts: dict[str, Any], expected: list[str]) -> None:
    found = facts_warnings("redis://host", GOOD | facts)
    assert len(found) == len(expected)
    assert all(words in line for words, line in zip(expected, found, strict=True))


@pytest.mark.parametrize(("facts", "words"), [
    ({"redis_version": "6.0.16"}, "is version 6.0.16: Redis 6.2 or newer"), ({"redis_version": "5"}, "version 5"),
    ({"redis_version": ""}, "unknown"), ({"redis_mode": "cluster"}, "cluster")])
def test_a_server_that_cannot_be_used_is_refused(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(UnfitServer, match=words):
        facts_warnings("redis://host", GOOD | facts)


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], int]]:
    """The port of a server that says this to whatever comes; nothing: it closes the connection."""
    sockets: list[socket.socket] = []

    def start(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
        return listener.getsockname()[1]

    def serve(listener: socket.socket, answer: bytes) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

    yield start
    for listener in sockets:
        listener.close()


@pytest.fixture
def of(make_settings: MakeSettings) -> Callable[[str], Settings]:
    return lambda url: make_settings(redis_url=url)


@pytest.mark.parametrize(("answer", "words"), [
    (b"-LOADING Redis is loading the dataset in memory\r\n", "still reads its data"), (b"", "does it want rediss://")])
def test_a_server_that_may_come_round_is_a_warning(answering: Callable, of: Callable, answer: bytes,
                                                   words: str) -> None:
    [line] = warnings(of(f"redis://:secret@127.0.0.1:{answering(answer)}"))
    assert words in line
    assert "503" in line
    assert "secret" not in line


@pytest.mark.parametrize(("url", "answer", "words"), [
    ("redis://:secret@127.0.0.1:{}", b"-WRONGPASS invalid username-password pair\r\n", "refuses the user or the pass"),
    ("redis://127.0.0.1:{}", b"-NOAUTH Authentication required.\r\n", "refuses the user or the password"),
    ("rediss://127.0.0.1:{}", b"-ERR unknown command\r\n", "does not speak TLS"),
    ("redis://127.0.0.1:{}/99", b"-ERR DB index is out of range\r\n", "out of range"),
    ("redis://127.0.0.1:{}?no_such_option=1", b"", "no_such_option")])
def test_what_stays_wrong_is_refused_in_one_line_without_secrets(answering: Callable, of: Callable, url: str,
                                                                 answer: bytes, words: str) -> None:
    with pytest.raises(UnfitServer, match=words) as caught:
        warnings(of(url.format(answering(answer))))
    assert str(caught.value).startswith("PUNNET_REDIS_URL: ")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_nobody_at_the_address_is_a_warning(of: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_check, "CHECK_TIMEOUT_S", 0.1)
    [line] = warnings(of("redis://127.0.0.1:1"))
    assert "cannot be reached" in line
