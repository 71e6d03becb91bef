"""Callers who wait for jobs, and their lists, at a running server."""

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.integration.images import leaf, white
from tests.integration.server import Server, kill, wait_until

LATE_S = 5.0  # on a busy machine; bench/waiting.py measures it
CALLERS = 40


@dataclass(frozen=True)
class Event:
    id: int
    name: str
    data: dict
    at: float


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    """An instance of these tests' own: its queue server is killed, and at last it is stopped."""
    running = Server(tmp_path_factory.mktemp("events"), {"MODELS_DIR": models_dir, "WORKERS": 2, "JOB_WORKERS": 1})
    running.start()
    wait_until(lambda: all(model["state"] == "ready" for model in running.get("/models").json["models"]), 60)
    yield running
    running.stop()


def events(server: Server, job_id: str, last: int | None = None) -> Iterator[Event]:
    """Until the server ends the stream; what breaks off in the middle is an error."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", f"/jobs/{job_id}/events", headers={} if last is None else {"Last-Event-ID": str(last)})
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    fields: dict[str, str] = {}
    while line := response.readline().decode():
        name, _, value = line.strip().partition(": ")
        fields[name] = value
        if not line.strip() and "data" in fields:
            yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]), time.time())
        fields = {} if not line.strip() else fields
    connection.close()


def ended_at(document: dict) -> float:
    return datetime.fromisoformat(document["completed_at"]).timestamp()


def test_all_who_wait_for_jobs_are_told_of_their_end_at_once(server: Server) -> None:
    blocker = server.submit(white(), "sleep2")
    ids = [blocker, *(server.submit(leaf(), "strawberry") for _ in range(3))]

    def late_s(number: int) -> float:
        job_id = ids[number % len(ids)]
        return late_by_events(job_id) if number % 2 else time.time() - ended_at(server.job(job_id, wait_s=60))

    def late_by_events(job_id: str) -> float:
        told = list(events(server, job_id))
        assert [event.id for event in told] == sorted({event.id for event in told})
        assert [event.name for event in told[:-1]] == ["state"] * (len(told) - 1)
        assert (told[-1].name, told[-1].data["state"]) == ("done", "succeeded")
        return told[-1].at - ended_at(told[-1].data)

    with ThreadPoolExecutor(CALLERS) as threads:
        assert max(threads.map(late_s, range(CALLERS))) < LATE_S


def test_a_stream_survives_the_queue_server_and_is_resumed_where_it_was(server: Server) -> None:
    job_id = server.submit(white(), "sleep2")
    stream = events(server, job_id)
    first = next(stream)
    server.wait_for_state(job_id, "processing")
    kill(server.pids()["valkey"][0])
    rest = list(stream)
    assert (rest[-1].name, rest[-1].data["state"]) == ("done", "succeeded")
    assert [event.id for event in list(events(server, job_id, first.id))] == [rest[-1].id]
    answer = server.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": str(rest[-1].id)})
    assert (answer.status, answer.body) == (204, b"")


def test_the_newest_jobs_are_listed_first(server: Server) -> None:
    ids = [server.submit(leaf(), "strawberry") for _ in range(3)][::-1]
    page = server.get("/jobs?limit=2").json
    assert [job["id"] for job in page["jobs"]] == ids[:2]
    assert server.get(page["next"]).json["jobs"][0]["id"] == ids[2]


def test_a_stop_ends_streams_and_waits_where_their_jobs_stand(server: Server) -> None:
    """The last of these tests."""
    job_id = server.submit(white(), "sleep2")
    with ThreadPoolExecutor(2) as threads:
        stream = events(server, job_id)
        assert next(stream).name == "state"
        waiting = threads.submit(server.job, job_id, 60)
        wait_until(lambda: server.job(job_id)["state"] == "processing", 20)
        stopping = threads.submit(server.stop)
        assert waiting.result(20)["state"] == "processing"
        assert [event.name for event in stream] in ([], ["state"])
        stopping.result()
