"""What every workload looks like: `measure` gives plain values, `section` makes a part of the page of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from bench.page import Section

T = TypeVar("T")
Measured = dict[str, Any]  # plain values only: it is kept as JSON


@dataclass(frozen=True)
class Options:
    """How much is measured. `seconds` is of each phase of a closed loop, `requests` of each condition of an open one;
    what is derived of them is so that `--quickly` shortens everything."""

    rounds: int = 5
    seconds: float = 4.0
    requests: int = 1000
    peers: bool = False
    quickly: bool = False

    def up_to(self, count: int) -> int:
        """A number of requests, jobs or starts; a tenth of it for a smoke run."""
        return max(1, count // 10) if self.quickly else count

    def some(self, clients: Sequence[T]) -> Sequence[T]:
        """All of a flood's clients; one for a smoke run, as each waits for its last answer."""
        return clients[:1] if self.quickly else clients

    def long_s(self, seconds: float) -> float:
        """A phase that needs more time than the others, its answers being few."""
        return min(seconds, 2.0) if self.quickly else seconds


QUICKLY = Options(rounds=1, seconds=0.5, requests=40, quickly=True)


class Workload(Protocol):
    """A module of this folder."""

    def measure(self, options: Options) -> Measured:
        """Start what is needed, measure, stop it; takes minutes."""

    def section(self, measured: Measured) -> Section:
        """Pure: tables, checks and charts of what was measured."""
