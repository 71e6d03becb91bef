"""The events of a job, as text and behind Flask's test client."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from redis import Redis

from api import streams
from api.streams import Stream, event_of, number, seen
from jobs.errors import JobExpired
from jobs.following import Followed
from jobs.job import JobRecord, Outcome
from jobs.progress import note_progress
from jobs.turns import make_queue
from tests.unit.conftest import MakeClient, services_of, start_running, work_off
from tests.unit.images import photo

NOW = datetime.now(UTC)
QUEUED = JobRecord("a", "queued", "leaf", NOW)
RUNNING = replace(QUEUED, state="processing", started_at=NOW, changes=1, tiles=4)
HALF = replace(RUNNING, tiles_done=2, changes=2)
AGAIN = replace(RUNNING, started_at=NOW + timedelta(seconds=9), changes=4)
DONE = replace(HALF, state="succeeded", completed_at=NOW, changes=3, outcome=Outcome(model_version="1"))
BY_RQ = replace(HALF, state="failed", completed_at=NOW, outcome=Outcome(kind="WorkerLost"))
PLENTY = b"[" + b"1," * 100_000 + b"1]"


@dataclass(frozen=True)
class Event:
    id: str
    name: str
    data: dict


def parsed(text: bytes) -> list[Event]:
    """The events, as the specification of Server-Sent Events reads them."""
    blocks = [dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
              for block in text.decode().split("\n\n") if block]
    return [Event(block["id"], block["event"], json.loads(block["data"])) for block in blocks if "data" in block]


class FakeFollowing:
    result, is_gone = b"{}", False

    def with_result(self, followed: Followed) -> JobRecord:
        if self.is_gone:
            raise JobExpired("too late")
        return replace(followed.record, result=self.result if followed.record.state == "succeeded" else b"")


def told(*records: JobRecord, last: int = 0, following: FakeFollowing | None = None, stays: bool = True,
         wanted: bool = True, prefix: str = "") -> bytes:
    """What a stream says of these records, of which each but the first comes once the caller waits for it."""
    left = list(records)
    followed = Followed(left.pop(0), lambda: None)

    def next_record(record: JobRecord, timeout_s: float) -> None:
        if left:
            followed.record = left.pop(0)
        else:
            followed.leave()

    followed.wait_beyond = next_record  # type: ignore[method-assign]
    stream = Stream(cast(Any, following or FakeFollowing()), followed, prefix, lambda: wanted)
    return b"".join(stream.told(last, stays))


def names(text: bytes) -> list[tuple[str, str]]:
    return [(event.id, event.name) for event in parsed(text)]


@pytest.mark.parametrize(("told_before", "record", "name"), [
    (None, QUEUED, "state"), (QUEUED, RUNNING, "state"), (RUNNING, HALF, "progress"), (HALF, DONE, "done"),
    (None, DONE, "done"), (RUNNING, BY_RQ, "done"), (RUNNING, replace(QUEUED, changes=2), "state"),
    (RUNNING, AGAIN, "state"), (RUNNING, replace(RUNNING, changes=2), "")])
def test_an_event_tells_what_is_new(told_before: JobRecord | None, record: JobRecord, name: str) -> None:
    assert event_of(record, told_before) == name


def test_the_numbers_of_events_grow() -> None:
    for life in ((QUEUED, RUNNING, HALF, DONE), (QUEUED, RUNNING, HALF, BY_RQ), (QUEUED, RUNNING, AGAIN)):
        numbers = [number(record) for record in life]
        assert numbers == sorted(set(numbers))


@pytest.mark.parametrize(("header", "last"), [
    ("", 0), ("2", 2), ("0", 0), ("9", 0), ("-1", 0), ("x", 0), ("1e3", 0), ("٢", 0), ("9" * 5000, 0)])
def test_an_id_that_the_job_never_had_counts_as_none(header: str, last: int) -> None:
    assert seen(header, RUNNING) == last


def test_a_stream_tells_a_life_from_its_beginning_to_its_end() -> None:
    text = told(QUEUED, RUNNING, HALF, DONE)
    assert names(text) == [("1", "state"), ("2", "state"), ("3", "progress"), ("5", "done")]
    events = parsed(text)
    assert [event.data["state"] for event in events] == ["queued", "processing", "processing", "succeeded"]
    assert events[2].data["progress"] == {"done": 2, "total": 4}
    assert (events[3].data["result"], events[3].data["status"]) == ({}, 200)
    assert text.startswith(b"retry: 2000\n\n")


@pytest.mark.parametrize(("last", "expected"), [
    (0, [("2", "state"), ("3", "progress")]), (1, [("2", "state"), ("3", "progress")]), (2, [("3", "progress")])])
def test_who_comes_back_gets_what_he_missed_and_nothing_twice(last: int, expected: list[tuple[str, str]]) -> None:
    assert names(told(RUNNING, HALF, last=last)) == expected


def test_who_missed_the_end_gets_it() -> None:
    assert names(told(DONE, last=3)) == [("5", "done")]


def test_an_end_that_comes_while_an_event_is_sent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = Followed(QUEUED, lambda: None)
    stream = Stream(cast(Any, FakeFollowing()), followed, "", lambda: True).told(0)
    sent = [next(stream), next(stream)]
    followed.tell(DONE)
    assert names(b"".join([*sent, *stream])) == [("1", "state"), ("5", "done")]


def test_without_news_there_is_a_comment_and_the_job_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "AWAKE_S", 0.01)
    looked: list[bool] = []
    followed = Followed(QUEUED, lambda: looked.append(True))
    stream = Stream(cast(Any, FakeFollowing()), followed, "", lambda: True).told(1)
    assert [next(stream) for _ in range(4)][1:] == [b"", streams.COMMENT, streams.COMMENT]
    assert len(looked) == 2


def test_a_stream_ends_where_its_caller_has_gone_or_there_is_no_place_for_it() -> None:
    assert names(told(QUEUED, RUNNING, wanted=False)) == [("1", "state")]
    crowded = told(QUEUED, RUNNING, stays=False)
    assert names(crowded) == [("1", "state")]
    assert crowded.startswith(b"retry: 15000\n\n")


def test_a_large_result_goes_out_in_pieces() -> None:
    following = FakeFollowing()
    following.result = PLENTY
    followed = Followed(DONE, lambda: None)
    pieces = list(Stream(cast(Any, following), followed, "", lambda: True).told(0))
    assert max(map(len, pieces)) <= streams.PIECE_BYTES
    [event] = parsed(b"".join(pieces))
    assert len(event.data["result"]) == 100_001


def test_a_result_that_is_gone_ends_the_stream_without_an_end() -> None:
    following = FakeFollowing()
    following.is_gone = True
    assert names(told(RUNNING, DONE, following=following)) == [("2", "state")]


def test_the_urls_in_events_begin_with_the_path_of_the_proxy() -> None:
    failed = replace(DONE, state="failed", outcome=Outcome(kind="UnsupportedImage", detail="a text"))
    [event] = parsed(told(failed, prefix="/vision"))
    assert event.data["urls"]["events"] == "/vision/jobs/a/events"
    assert event.data["error"]["type"] == "/vision/problems/unsupported-image"


# Behind Flask's test client


def submit(client: FlaskClient) -> str:
    return client.post("/predict?model_type=leaf&mode=async", data=photo(), content_type="image/jpeg").get_json()["id"]


def lines(answer: Any) -> Iterator[Event]:
    """The events of an answer that goes on."""
    for piece in answer.iter_encoded():
        yield from parsed(piece)


def test_the_headers_are_those_of_a_stream(client: FlaskClient, redis: Redis) -> None:
    job_id = submit(client)
    work_off(redis)
    answer = client.get(f"/jobs/{job_id}/events")
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-cache", "no")
    assert "Content-Length" not in answer.headers
    [event] = parsed(answer.data)
    document = client.get(f"/jobs/{job_id}").get_json()
    assert (event.name, event.data) == ("done", document)


def test_a_stream_follows_a_job(client: FlaskClient, redis: Redis) -> None:
    job_id = submit(client)
    events = lines(client.get(f"/jobs/{job_id}/events"))
    assert next(events).data["queue_position"] == 1
    execution = start_running(redis, job_id)
    assert next(events).data["state"] == "processing"
    note_progress(make_queue(redis), job_id, execution.id, 1)
    assert next(events).data["progress"] == {"done": 1, "total": 1}
    client.delete(f"/jobs/{job_id}")
    done = next(events)
    assert (done.name, done.data["state"], list(events)) == ("done", "canceled", [])


def test_who_had_the_end_is_told_to_come_back_no_more(client: FlaskClient, redis: Redis) -> None:
    """A browser does not reconnect after 204."""
    job_id = submit(client)
    work_off(redis)
    [event] = parsed(client.get(f"/jobs/{job_id}/events").data)
    answer = client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": event.id})
    assert (answer.status_code, answer.data) == (204, b"")
    missed = client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": str(int(event.id) - 1)})
    assert [again.id for again in parsed(missed.data)] == [event.id]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_stream_gives_back_its_place_however_it_ends(client: FlaskClient, method: str) -> None:
    service, job_id = services_of(client), submit(client)
    answer = client.open(f"/jobs/{job_id}/events", method=method)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    if method == "GET":
        assert (service.held.total, service.drain.open_work) == (1, 1)
    else:
        assert answer.data == b""
    answer.close()
    assert (service.held.total, service.drain.open_work, service.following._followed) == (0, 0, {})


def test_a_stream_ends_where_the_job_stands_when_the_service_is_stopped(client: FlaskClient) -> None:
    events = lines(client.get(f"/jobs/{submit(client)}/events"))
    assert next(events).name == "state"
    services_of(client).following.end()
    assert list(events) == []


def test_a_job_that_cannot_be_read_has_no_stream(client: FlaskClient, redis: Redis) -> None:
    job_id = submit(client)
    work_off(redis)
    redis.delete(f"rq:job:{job_id}")
    assert client.get(f"/jobs/{job_id}/events").get_json()["type"] == "/problems/job-expired"
    assert client.get("/jobs/absent/events").get_json()["type"] == "/problems/job-not-found"


def test_a_job_of_another_key_has_no_stream(make_client: MakeClient) -> None:
    client = make_client(api_keys="a:mine,b:theirs")
    answer = client.post("/predict?model_type=leaf&mode=async", data=photo(), content_type="image/jpeg",
                         headers={"X-API-Key": "mine"})
    url = answer.get_json()["urls"]["events"]
    assert client.get(url, headers={"X-API-Key": "theirs"}).status_code == 404
    assert client.get(url).status_code == 401
    mine = client.get(url, headers={"X-API-Key": "mine"})
    assert mine.status_code == 200
    mine.close()
