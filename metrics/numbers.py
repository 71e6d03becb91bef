"""What one process counts."""

import logging
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metrics.definitions import BY_NAME, DIED, PROCESSES, Metric
from metrics.slots import Key, Row, Slot

MOST_MODELS, OTHERS = 200, "others"
log = logging.getLogger(__name__)


class Numbers:
    """Until `start`, and what finds no room on the disk, is kept in memory alone and told nobody. Belongs to one
    thread, under gevent to the event loop's: to add to a number takes two steps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slot: Slot | None = None
        self._rows: dict[Key, Row] = {}
        self._role = ""
        self._models: set[str] = set()

    def start(self, role: str) -> None:
        """Count in a file from now on, as a process of this role; after a fork, never before."""
        self._rows = {}
        try:
            self._slot = Slot(self._folder)
            self._rows.update(self._slot.rows())
        except OSError as error:
            log.error("what this process counts is not told: %s", error)
        self._take_over()
        self._role = role
        self.set(PROCESSES, 1, role)

    def leave(self) -> None:
        """This process ends in order."""
        if self._role:
            self.set(PROCESSES, 0, self._role)

    @contextmanager
    def living(self, role: str) -> Iterator[None]:
        """The life of a process of this role, which has ended in order where it raises nothing, or exits with 0."""
        self.start(role)
        try:
            yield
        except SystemExit as exit_:
            if not exit_.code:
                self.leave()
            raise
        self.leave()

    def add(self, metric: Metric, *labels: str, by: float = 1.0) -> None:
        """Count so much more."""
        self._row(metric, labels)[0] += by

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """What a gauge shows of this process."""
        self._row(metric, labels)[0] = value

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """One more value of a histogram."""
        row = self._row(metric, labels)
        row[bisect_left(metric.bounds, value)] += 1
        row[-1] += value

    def model(self, name: str) -> str:
        """What stands for a model in a label. A folder in which models come and go does not make labels for ever."""
        if len(self._models) < MOST_MODELS:
            self._models.add(name)
        return name if name in self._models else OTHERS

    @property
    def path(self) -> Path | None:
        """The file that the numbers are in."""
        return self._slot.path if self._slot else None

    def rows(self) -> list[tuple[Key, list[float]]]:
        """All numbers of this process, and of those whose file it took over; in any thread."""
        return [(key, list(row)) for key, row in list(self._rows.items())]

    def _take_over(self) -> None:
        """Whoever had the file before does nothing any more; if it did not say that it ends, it died."""
        gauges = {key: row for key, row in self._rows.items() if BY_NAME[key[0]].kind == "gauge"}
        died = [key[1] for key, row in gauges.items() if key[0] == PROCESSES.name and row[0]]
        for row in gauges.values():
            row[0] = 0.0
        for role in died:
            self.add(DIED, role)

    def _row(self, metric: Metric, labels: tuple[str, ...]) -> Row:
        key = (metric.name, *labels)
        row = self._rows.get(key)
        return self._new_row(key, metric.width) if row is None else row

    def _new_row(self, key: Key, width: int) -> Row:
        row: Row = [0.0] * width
        try:
            if self._slot is not None:
                row = self._slot.add(key, width)
        except OSError as error:  # a full disk costs the number, not what it counts
            log.error("%s is not counted: %s", key[0], error)
        self._rows[key] = row
        return row
