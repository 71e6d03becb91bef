import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from jobs.errors import JobExpired, QueueUnavailable
from jobs.events import JobEvents
from jobs.following import Following
from jobs.job import JobRecord, State

LONG_S = 60.0
PATIENCE_S = 20.0
QUEUED = JobRecord("a", "queued", "leaf", datetime.now(UTC))


class FakeRecords:
    """Jobs to read. `reads` are the batches that were read, `results` how often a result was."""

    def __init__(self) -> None:
        self.now: dict[str, JobRecord] = {"a": QUEUED}
        self.reads: list[list[str]] = []
        self.results, self.away, self.expired = 0, False, False

    def read_many(self, ids: list[str]) -> list[JobRecord | None]:
        self.reads.append(ids)
        if self.away:
            raise QueueUnavailable("away")
        return [self.now.get(job_id) for job_id in ids]

    def with_result(self, record: JobRecord) -> JobRecord:
        if record.state != "succeeded" or record.result:
            return record
        self.results += 1
        if self.expired:
            raise JobExpired("too late")
        return replace(record, result=b"{}")

    def change(self, state: State, job_id: str = "a") -> None:
        known = self.now[job_id]
        self.now[job_id] = replace(known, state=state, changes=known.changes + 1)


class FakeEvents:
    """`tell` is the news of a job."""

    def __init__(self) -> None:
        self.hearing: dict[str, set[Callable[[], None]]] = {}

    def hear(self, job_id: str, hear: Callable[[], None]) -> None:
        self.hearing.setdefault(job_id, set()).add(hear)

    def leave(self, job_id: str, hear: Callable[[], None]) -> None:
        self.hearing[job_id].remove(hear)

    def tell(self, job_id: str = "a") -> None:
        for hear in self.hearing[job_id]:
            hear()


class Waiting:
    """`wait` in a thread of its own, for the job as it stands now."""

    def __init__(self, following: Following, records: FakeRecords, job_id: str = "a") -> None:
        self._found: list[Any] = []
        self._arguments = following, records.now[job_id]
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()
        until(lambda: following._followed[job_id].followers > 0 and records.reads)

    def _wait(self) -> None:
        following, record = self._arguments
        try:
            self._found.append(following.wait(record, LONG_S))
        except JobExpired as error:
            self._found.append(error)

    def result(self) -> Any:
        self._thread.join(PATIENCE_S)
        assert self._found, "still waiting"
        return self._found[0]


def until(seen: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if seen():
                return
        except KeyError:
            pass
        time.sleep(0.005)
    raise AssertionError("not seen in time")


@pytest.fixture
def records() -> FakeRecords:
    return FakeRecords()


@pytest.fixture
def events() -> FakeEvents:
    return FakeEvents()


@pytest.fixture
def following(records: FakeRecords, events: FakeEvents) -> Iterator[Following]:
    following = Following(cast(JobEvents, events), cast(Any, records))
    following.start()
    yield following
    following.end()


def test_the_end_of_a_job_ends_the_wait_with_its_result(following: Following, records: FakeRecords,
                                                        events: FakeEvents) -> None:
    waiting = Waiting(following, records)
    records.change("succeeded")
    events.tell()
    assert (waiting.result().state, waiting.result().result) == ("succeeded", b"{}")


def test_a_change_is_read_once_for_all_who_wait_and_so_is_the_result(following: Following, records: FakeRecords,
                                                                     events: FakeEvents) -> None:
    waits = [Waiting(following, records) for _ in range(20)]
    before = len(records.reads)
    records.change("succeeded")
    events.tell()
    assert {waiting.result().state for waiting in waits} == {"succeeded"}
    assert (len(records.reads) - before, records.results) == (1, 1)


def test_jobs_that_change_together_are_read_together(following: Following, records: FakeRecords) -> None:
    records.now = {f"{number}": replace(QUEUED, id=f"{number}") for number in range(50)}
    waits = [Waiting(following, records, job_id) for job_id in records.now]
    records.reads.clear()
    for job_id in records.now:
        records.change("canceled", job_id)
    following._stale.update(records.now)
    following._wanted.set()
    assert {waiting.result().state for waiting in waits} == {"canceled"}
    assert len(records.reads) == 1


def test_news_that_are_no_end_go_on_waiting(following: Following, records: FakeRecords, events: FakeEvents) -> None:
    waiting = Waiting(following, records)
    records.change("processing")
    events.tell()
    until(lambda: following._followed["a"].record.state == "processing")
    records.change("failed")
    events.tell()
    assert waiting.result().state == "failed"


def test_what_happened_before_the_wait_began_is_seen(following: Following, records: FakeRecords) -> None:
    """Nobody announces it any more."""
    records.change("canceled")
    assert following.wait(QUEUED, LONG_S).state == "canceled"


def test_who_comes_later_knows_what_the_others_know(following: Following, records: FakeRecords,
                                                    events: FakeEvents) -> None:
    with following.follow(QUEUED) as followed:
        records.change("succeeded")
        events.tell()
        until(lambda: followed.record.ended)
        reads = len(records.reads)
        assert following.wait(QUEUED, LONG_S).state == "succeeded"
        assert len(records.reads) == reads


def test_who_comes_with_newer_knowledge_tells_the_others(following: Following, records: FakeRecords) -> None:
    with following.follow(QUEUED) as followed:
        until(lambda: records.reads)
        with following.follow(replace(QUEUED, state="processing", changes=1)):
            assert followed.record.state == "processing"
        with following.follow(QUEUED):
            assert followed.record.state == "processing"


@pytest.mark.parametrize("timeout_s", [0, 0.05])
def test_the_wait_ends_in_time_with_where_the_job_stands(following: Following, timeout_s: float) -> None:
    began = time.monotonic()
    assert following.wait(QUEUED, timeout_s).state == "queued"
    assert timeout_s <= time.monotonic() - began < PATIENCE_S


def test_the_end_lets_everybody_go_now_and_from_now_on(following: Following, records: FakeRecords) -> None:
    waiting = Waiting(following, records)
    following.end()
    assert waiting.result().state == "queued"
    assert following.wait(QUEUED, LONG_S).state == "queued"


def test_a_queue_server_that_goes_away_is_waited_for(following: Following, records: FakeRecords,
                                                     events: FakeEvents) -> None:
    waiting = Waiting(following, records)
    records.away, before = True, len(records.reads)
    records.change("failed")
    events.tell()
    until(lambda: len(records.reads) > before)
    records.away = False
    assert waiting.result().state == "failed"


def test_a_job_that_is_gone_is_not_waited_for(following: Following, records: FakeRecords, events: FakeEvents) -> None:
    waiting = Waiting(following, records)
    records.now.clear()
    events.tell()
    assert waiting.result().state == "queued"


def test_a_result_that_is_gone_is_told(following: Following, records: FakeRecords, events: FakeEvents) -> None:
    waiting = Waiting(following, records)
    records.expired = True
    records.change("succeeded")
    events.tell()
    assert isinstance(waiting.result(), JobExpired)


def test_what_rqs_own_tools_did_is_seen_once_somebody_looks(following: Following, records: FakeRecords) -> None:
    with following.follow(QUEUED) as followed:
        until(lambda: records.reads)
        records.now["a"] = replace(QUEUED, state="failed")
        followed.look_again()
        followed.wait_beyond(QUEUED, PATIENCE_S)
        assert followed.record.state == "failed"


def test_nothing_is_kept_of_a_job_that_nobody_follows(following: Following, events: FakeEvents) -> None:
    for _ in range(2):
        with following.follow(QUEUED), following.follow(QUEUED):
            assert len(events.hearing["a"]) == 1
    assert not events.hearing["a"]
    assert not following._followed
