"""The numbers of all processes of a machine, added up."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from metrics.definitions import BY_NAME, DIED, PROCESSES
from metrics.numbers import Numbers
from metrics.slots import Key, read

Rows = Iterable[tuple[Key, list[float]]]
Sums = dict[Key, list[float]]


def all_numbers(folder: Path, own: Numbers) -> Sums:
    """What the processes with files in `folder` count together, this process's `own` numbers among them."""
    sums: Sums = {}
    _add(sums, own.rows(), is_alive=True)
    for path in _files(folder):
        if path != own.path:
            with suppress(OSError):  # the folder was deleted in this moment
                _add(sums, *read(path))
    return sums


def _files(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return list(folder.iterdir())
    return []


def _add(sums: Sums, rows: Rows, is_alive: bool) -> None:
    """Of a dead process the gauges are of no time any more; that it did not say that it ends means that it died."""
    for key, row in rows:
        kind = BY_NAME[key[0]].kind
        if kind != "gauge" or is_alive:
            _count(sums, key, row)
        elif key[0] == PROCESSES.name and row[0]:
            _count(sums, (DIED.name, key[1]), [1.0])


def _count(sums: Sums, key: Key, row: list[float]) -> None:
    before = sums.get(key)
    sums[key] = row if before is None else [left + right for left, right in zip(before, row, strict=True)]
