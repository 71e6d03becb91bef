"""What a workload shows: tables, checks against limits and charts, as text for a terminal and as Markdown. Pure."""

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
class Chart:
    """Horizontal bars: for each row one bar of each series, `values[row][series]`. `name` is the file's."""

    name: str
    title: str
    unit: str
    series: tuple[str, ...]
    rows: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Section:
    """A workload's part of the page. `text` says what was done and how to read the table."""

    title: str
    text: str
    tables: tuple[Table, ...]
    checks: tuple[Check, ...] = ()
    charts: tuple[Chart, ...] = ()


def quantity(value: float, unit: str) -> str:
    """`1.23 ms`, `8 %`, `1.40`: three digits are more than these measurements bear."""
    number = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{number} {unit}".rstrip()


def markdown(table: Table) -> str:
    lines = [table.heads, ["---"] + ["---:"] * (len(table.heads) - 1), *table.rows]
    return "\n".join(f"| {' | '.join(_cells(line))} |" for line in lines)


def plain(table: Table) -> str:
    """First column to the left, the others to the right."""
    lines = [_cells(line) for line in (table.heads, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines)


def check_table(checks: Sequence[Check]) -> Table:
    rows = tuple((check.what, quantity(check.value, check.unit), check.bound, "yes" if check.kept else "**no**")
                 for check in checks)
    return Table(("limit on", "measured", "limit", "kept"), rows)


def in_terminal(section: Section) -> str:
    tables = [*section.tables, *([check_table(section.checks)] if section.checks else [])]
    return "\n\n".join([f"== {section.title} ==", *map(plain, tables)])


def _cells(row: Row) -> list[str]:
    """Floats with three digits at most; a table's author writes a string where another form is wanted."""
    return [quantity(cell, "") if isinstance(cell, float) else str(cell) for cell in row]
