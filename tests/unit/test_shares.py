import pytest

from shares import Shares, fits

LIMIT = 100


@pytest.mark.parametrize(("own", "total", "size", "expected"), [
    (0, 0, 100, True), (0, 0, 101, False), (99, 99, 1, True), (100, 100, 1, False),  # alone: all of it
    (40, 60, 10, True), (40, 60, 11, False), (90, 91, 1, False),  # with others: half
    (0, 40, 60, True), (0, 40, 61, False),  # a first request may be larger than the half
    (0, 100, 50, True), (0, 100, 51, False), (49, 149, 1, True), (49, 150, 1, False),  # another one took all before
])
def test_a_caller_has_all_alone_and_half_beside_others(own: float, total: float, size: float, expected: bool) -> None:
    assert fits(own, total, size, LIMIT) is expected


def test_one_who_has_taken_all_leaves_room_for_another() -> None:
    shares = Shares(10)
    assert [shares.take("greedy", 1) for _ in range(11)] == [True] * 10 + [False]
    assert [shares.take("modest", 1) for _ in range(6)] == [True] * 5 + [False]
    assert not shares.take("greedy", 1)


def test_what_is_given_back_can_be_taken_again() -> None:
    shares = Shares(10)
    shares.take("a", 10)
    shares.take("a", -10)
    assert shares.take("b", 10)
    assert shares.total == 10


def test_a_place_is_counted_for_as_long_as_it_is_held() -> None:
    shares = Shares(1)
    with shares.place("a") as first, shares.place("a") as second:
        assert (first, second) == (True, False)
    with shares.place("a") as again:
        assert again
    assert shares.total == 0
