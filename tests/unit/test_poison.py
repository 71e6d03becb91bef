"""Images that ended two predictors are remembered for a while, by all processes and machines."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from redis import Redis

from jobs.poison import SharedPoison
from predictors.poison import REMEMBERED_S, PoisonImages


def test_a_poison_image_is_known_to_every_process(tmp_path: Path) -> None:
    PoisonImages(tmp_path / "poison").add("of-leaf", b"image")
    assert PoisonImages(tmp_path / "poison").has("of-leaf", b"image")


def test_another_image_of_its_size_and_another_model_are_not_meant(tmp_path: Path) -> None:
    images = PoisonImages(tmp_path / "poison")
    images.add("of-leaf", b"image")
    assert not images.has("of-leaf", b"IMAGE")
    assert not images.has("of-tree", b"image")


def test_nothing_is_poison_before_anything_was(tmp_path: Path) -> None:
    assert not PoisonImages(tmp_path / "poison").has("of-leaf", b"image")


def test_an_image_is_forgotten_after_its_time(tmp_path: Path) -> None:
    images = PoisonImages(tmp_path / "poison")
    images.add("of-leaf", b"image")
    [file] = (tmp_path / "poison").iterdir()
    long_ago = time.time() - REMEMBERED_S - 1
    os.utime(file, (long_ago, long_ago))
    assert not images.has("of-leaf", b"image")
    images.add("of-leaf", b"another")
    assert not file.exists()


@pytest.fixture
def machines(tmp_path: Path, redis: Redis) -> tuple[PoisonImages, PoisonImages, Callable[[], None]]:
    """Two machines, and a round of exchanges between them."""
    first, second = PoisonImages(tmp_path / "first"), PoisonImages(tmp_path / "second")
    shared = [SharedPoison(redis, "punnet", images.ages_s, images.learn) for images in (first, second)]

    def exchange() -> None:
        for one in shared:
            one.exchange()

    return first, second, exchange


def test_a_poison_image_is_known_to_other_machines(machines: Any, redis: Redis) -> None:
    first, second, exchange = machines
    first.add("of-leaf", b"image")
    exchange()
    assert second.has("of-leaf", b"image")
    assert not second.has("of-leaf", b"IMAGE")
    assert 0 < redis.ttl("punnet:poison") <= REMEMBERED_S


def test_what_became_poison_while_the_queue_server_was_away_is_told_later(
        machines: Any, server: fakeredis.FakeServer) -> None:
    first, second, exchange = machines
    server.connected = False
    first.add("of-leaf", b"image")
    exchange()
    assert first.has("of-leaf", b"image") and not second.has("of-leaf", b"image")
    server.connected = True
    exchange()
    assert second.has("of-leaf", b"image")


def test_a_poison_image_is_forgotten_by_all_machines_after_one_hour(machines: Any, redis: Redis) -> None:
    """The hour begins once, however many machines tell each other."""
    first, second, exchange = machines
    first.add("of-leaf", b"image")
    [name] = first.ages_s()
    first.learn({name: REMEMBERED_S - 100})
    exchange()
    exchange()
    assert second.ages_s()[name] == pytest.approx(REMEMBERED_S - 100, abs=10)
    first.learn({name: REMEMBERED_S + 1})
    second.learn({name: REMEMBERED_S + 1})
    redis.zadd("punnet:poison", {name: redis.time()[0] - REMEMBERED_S - 1})
    exchange()
    assert redis.zcard("punnet:poison") == 0
    assert not first.has("of-leaf", b"image") and not second.has("of-leaf", b"image")
