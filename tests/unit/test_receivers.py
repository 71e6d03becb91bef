import asyncio
from collections import Counter

import pytest

from deliveries import receivers as receivers_module
from deliveries.receivers import AT_A_TIME, IN_LINE, Receivers


async def tell(receivers: Receivers, receiver: str, takes_s: float, outcomes: Counter[bool]) -> None:
    async with receivers.turn(receiver) as is_mine:
        outcomes[is_mine] += 1
        await asyncio.sleep(takes_s if is_mine else 0)


def told(number: int, takes_s: float, receiver: str = "a") -> Counter[bool]:
    """What became of so many deliveries that come together."""
    outcomes: Counter[bool] = Counter()

    async def run() -> None:
        receivers = Receivers()
        await asyncio.gather(*(tell(receivers, receiver, takes_s, outcomes) for _ in range(number)))
        assert receivers._lines == {}

    asyncio.run(run())
    return outcomes


def test_a_quick_receiver_hears_all_that_is_in_line() -> None:
    assert told(IN_LINE, takes_s=0.001) == {True: IN_LINE}
    assert told(IN_LINE + 9, takes_s=0.001)[False] == 9


def test_a_slow_receiver_hears_some_and_the_rest_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers_module, "PATIENCE_S", 0.05)
    assert told(100, takes_s=0.3) == {True: AT_A_TIME, False: 100 - AT_A_TIME}


def test_once_a_receiver_is_slow_nothing_is_in_line_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers_module, "PATIENCE_S", 60)
    monkeypatch.setattr(receivers_module, "SLOW_S", 0.01)
    outcomes: Counter[bool] = Counter()

    async def run() -> None:
        receivers = Receivers()
        async with receivers.turn("a"):  # keeps the line
            await tell(receivers, "a", 0.05, Counter())
            await asyncio.gather(*(tell(receivers, "a", 0.05, outcomes) for _ in range(100)))

    asyncio.run(run())
    assert outcomes == {True: AT_A_TIME - 1, False: 100 - AT_A_TIME + 1}


def test_a_slow_receiver_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def one(receivers: Receivers, receiver: str, takes_s: float) -> None:
        await tell(receivers, receiver, takes_s, Counter())
        order.append(receiver)

    async def run() -> None:
        receivers = Receivers()
        await asyncio.gather(*(one(receivers, "slow", 0.1) for _ in range(AT_A_TIME)), one(receivers, "quick", 0))

    asyncio.run(run())
    assert order[0] == "quick"
