"""The jobs of an owner, newest first, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from rq import Queue

from jobs.connection import unavailable
from jobs.index import forget_accepted, index_of
from jobs.job import JobRecord, State
from jobs.records import Records

AT_ONCE = 100  # jobs that are read in one round trip
MOST_LOOKED_AT = 1000  # jobs; a search that has not found enough among them is gone on with in another request


@dataclass(frozen=True)
class Search:
    """Which of his jobs a caller wants: how many at most, accepted before which one, in which state, and of which
    model, with or without its version."""

    limit: int
    before: str = ""
    state: State | None = None
    model_type: str = ""

    @property
    def takes_all(self) -> bool:
        return not (self.state or self.model_type)

    def fits(self, record: JobRecord) -> bool:
        names = record.model_type, record.model_type.partition(":")[0]
        return self.state in (None, record.state) and (not self.model_type or self.model_type in names)


@dataclass(frozen=True)
class Page:
    """What was found, newest first and without results. `before` is where to go on; "" where there is no more."""

    records: Sequence[JobRecord]
    before: str = ""


class Listing:
    """Looks jobs up in the index."""

    def __init__(self, queue: Queue, records: Records) -> None:
        self._client, self._name, self._records = queue.connection, queue.name, records

    def page(self, owner: str, search: Search) -> Page:
        """Raises JobNotFound, JobExpired: the job `before` which they are wanted. QueueUnavailable."""
        found: list[JobRecord] = []
        after = self._number(owner, search.before) if search.before else "+inf"
        at_once = search.limit + 1 if search.takes_all else AT_ONCE
        for _ in range(0, MOST_LOOKED_AT, at_once):
            ids, after = self._older(owner, after, at_once)
            found += filter(search.fits, self._read(owner, ids))
            if len(found) > search.limit:
                return Page(found[:search.limit], found[search.limit - 1].id)
            if len(ids) < at_once:
                return Page(found)
        return Page(found, ids[-1])

    def _number(self, owner: str, job_id: str) -> str:
        """Where in the index a job is. Raises JobNotFound, JobExpired."""
        with unavailable():
            number = self._client.zscore(index_of(owner, self._name), job_id)
        if number is None:
            raise self._records.missing(job_id, owner)
        return f"({number:.0f}"

    def _older(self, owner: str, after: str, count: int) -> tuple[list[str], str]:
        """The next ids, and where those after them begin."""
        with unavailable():
            entries = cast(list[tuple[bytes, float]], self._client.zrevrangebyscore(
                index_of(owner, self._name), after, "-inf", 0, count, withscores=True))
        return [job_id.decode() for job_id, _ in entries], f"({entries[-1][1]:.0f}" if entries else after

    def _read(self, owner: str, ids: Sequence[str]) -> list[JobRecord]:
        """The jobs that are there; what RQ's own tools deleted leaves the index."""
        records = dict(zip(ids, self._records.read_many(ids), strict=True))
        if missing := [job_id for job_id, record in records.items() if record is None]:
            with unavailable():
                forget_accepted(self._client, self._name, owner, *missing)
        return [record for record in records.values() if record is not None]
