"""What every workload looks like: `measure` gives plain values, `section` makes a part of the page of them."""

from dataclasses import dataclass
from typing import Any, Protocol

from bench.page import Section

Measured = dict[str, Any]  # plain values only: it is kept as JSON


@dataclass(frozen=True)
class Options:
    """How much is measured. `scale` shortens or lengthens every phase alike. `against` is another checkout of Punnet
    that is measured too, `measures` which measures of `bench/against.py` are taken, empty for all."""

    rounds: int = 5
    scale: float = 1.0
    peers: bool = False
    against: str = ""
    measures: tuple[str, ...] = ()

    def count(self, number: int) -> int:
        """A number of requests or jobs."""
        return max(1, round(number * self.scale))

    def seconds(self, seconds: float) -> float:
        """How long a phase is to take."""
        return seconds * self.scale


class Workload(Protocol):
    """A module of this folder."""

    def measure(self, options: Options) -> Measured:
        """Start what is needed, measure, stop it; takes minutes."""

    def section(self, measured: Measured) -> Section:
        """Tables and checks of what was measured. Pure."""
