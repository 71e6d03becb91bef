"""Percentiles and medians. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any


def percentile(values: Iterable[float], percent: float) -> float:
    """Between the two nearest values where the rank falls between them; nan of none."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    rank = (len(ordered) - 1) * percent / 100
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def median_of(rounds: Sequence[dict[str, Any]], value: str | Callable[[dict[str, Any]], float]) -> float:
    """The median over the rounds of one of their values, or of what is computed within each round."""
    return median(one[value] if isinstance(value, str) else value(one) for one in rounds)


def median_ratio(rounds: Sequence[dict[str, Any]], above: str, below: str) -> float:
    """Of the ratios within each round: what slows the machine for a minute slows both. nan where nothing was done."""
    return median_of(rounds, lambda one: one[above] / one[below] if one[below] else float("nan"))


def rate_per_s(times_s: Sequence[float], begin_s: float, end_s: float) -> float:
    """Of what ended between two moments. Measured from the first end to the last one, because with few of them the
    window's rims would decide; fewer than three are counted over the window."""
    inside = sorted(time_s for time_s in times_s if begin_s <= time_s <= end_s)
    if len(inside) < 3 or inside[-1] == inside[0]:
        return len(inside) / (end_s - begin_s)
    return (len(inside) - 1) / (inside[-1] - inside[0])


def deviation(values: Sequence[float]) -> float:
    """The median absolute deviation from the median."""
    middle = median(values)
    return median(abs(value - middle) for value in values)


def others_cell(rounds: Sequence[dict[str, Any]]) -> str:
    """The answers of all rounds that were neither 200 nor 202, as a cell of a table."""
    found = sum((Counter(one["others"]) for one in rounds), Counter[str]())
    return ", ".join(f"{status}: {count}" for status, count in found.items()) or "0"
