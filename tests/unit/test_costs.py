import time
from unittest.mock import Mock

import fakeredis
import pytest
from redis import Redis

from jobs.costs import KEPT, KEPT_S, KEY, SharedCosts
from jobs.keys import DEFAULT_QUEUE, key


def row(age_s: float = 0.0) -> list:
    return [time.time() - age_s, [1.0, 2.0], 30.0]


def test_what_one_process_learned_the_others_are_told_once(redis: Redis) -> None:
    one, other = SharedCosts(redis), SharedCosts(redis)
    news = {"decode PNG 3": [row()]}
    assert one.exchange(news) == news
    assert other.exchange({}) == news
    assert other.exchange({}) == {}


def test_without_a_queue_server_everybody_learns_alone(server: fakeredis.FakeServer, redis: Redis) -> None:
    server.connected = False
    assert SharedCosts(redis).exchange({"decode PNG 3": [row()]}) == {}
    SharedCosts(redis).give({"decode PNG 3": [row()]})


def test_what_is_a_day_old_is_dropped(redis: Redis) -> None:
    SharedCosts(redis).exchange({"decode PNG 3": [row(KEPT_S + 10)], "decode PNG 4": [row()]})
    assert redis.hkeys(key(DEFAULT_QUEUE, KEY)) == [b"decode PNG 4"]


def test_the_newest_samples_are_told_by_the_servers_clock(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is an hour slow learns and teaches like the others."""
    slow, right, now_s = SharedCosts(redis), SharedCosts(redis), time.time()
    right.give({"decode PNG 3": [row(age_s) for age_s in range(60, 60 + KEPT)]})
    monkeypatch.setattr("jobs.costs.server_time_s", lambda client: now_s + 3600)
    slow.give({"decode PNG 3": [[now_s - 1, [1.0, 2.0], 5.0]]})
    assert slow.exchange({})["decode PNG 3"][0] == [now_s - 1, [1.0, 2.0], 5.0]
    monkeypatch.undo()
    assert right.exchange({})["decode PNG 3"][0] == [now_s - 1 + 3600, [1.0, 2.0], 5.0]


def test_who_only_gives_adds_to_a_bin_and_keeps_the_newest(redis: Redis) -> None:
    costs, rows = SharedCosts(redis), [row(age_s) for age_s in range(10, 10 + KEPT)]
    costs.give({"decode PNG 3": rows[:3]})
    costs.give({"decode PNG 3": rows[3:], "run leaf 1": [row(7)]})
    costs.give({})
    newest = row()
    costs.give({"decode PNG 3": [newest]})
    found = SharedCosts(redis).exchange({})
    assert found["decode PNG 3"] == [newest, *rows[:-1]]
    assert len(found["run leaf 1"]) == 1


def test_a_full_bin_takes_a_sample_only_each_few_seconds(redis: Redis) -> None:
    costs, rows = SharedCosts(redis), [row(age_s) for age_s in range(1, 1 + KEPT)]
    costs.give({"decode PNG 3": rows})
    costs.give({"decode PNG 3": [row()]})
    assert SharedCosts(redis).exchange({})["decode PNG 3"] == rows


def test_a_full_bin_is_not_looked_at_again_and_again(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = SharedCosts(redis)
    costs.give({"decode PNG 3": [row(age_s) for age_s in range(KEPT)]})
    looks = Mock(side_effect=redis.hmget)
    monkeypatch.setattr(redis, "hmget", looks)
    for _ in range(5):
        costs.give({"decode PNG 3": [row()]})
    assert looks.call_count == 1
