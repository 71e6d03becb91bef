"""What a workload shows: tables, and checks against limits, as Markdown. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

Row = Sequence[object]


@dataclass(frozen=True)
class Table:
    heads: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Check:
    """A measured value and the limit it is to keep."""

    what: str
    value: float
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def bound(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {quantity(self.limit, self.unit)}"


@dataclass(frozen=True)
class Section:
    """A workload's part of the page. `text` says what was done and how to read the table."""

    title: str
    text: str
    tables: tuple[Table, ...]
    checks: tuple[Check, ...] = ()


def quantity(value: float, unit: str) -> str:
    """`1.23 ms`, `8 %`, `1.40`: three digits are more than these measurements bear."""
    number = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{number} {unit}".rstrip()


def markdown(table: Table) -> str:
    """Aligned, to be read in a terminal too: the first column stands to the left, the others to the right."""
    lines = [_cells(line) for line in (table.heads, *table.rows)]
    first, *others = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    lines[1:1] = [["-" * first, *("-" * (width - 1) + ":" for width in others)]]
    return "\n".join(f"| {' | '.join([line[0].ljust(first), *map(str.rjust, line[1:], others)])} |" for line in lines)


def check_table(checks: Sequence[Check]) -> Table:
    rows = tuple((check.what, quantity(check.value, check.unit), check.bound, "yes" if check.kept else "**no**")
                 for check in checks)
    return Table(("limit on", "measured", "limit", "kept"), rows)


def _cells(row: Row) -> list[str]:
    """Floats with three digits at most; a table's author writes a string where another form is wanted."""
    return [quantity(cell, "") if isinstance(cell, float) else str(cell) for cell in row]
