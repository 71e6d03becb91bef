import time

import fakeredis
from redis import Redis

from jobs.costs import KEPT_S, KEY, SharedCosts


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


def test_what_is_a_day_old_is_dropped(redis: Redis) -> None:
    SharedCosts(redis).exchange({"decode PNG 3": [row(KEPT_S + 10)], "decode PNG 4": [row()]})
    assert redis.hkeys(KEY) == [b"decode PNG 4"]
