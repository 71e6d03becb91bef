"""What receivers of webhooks hear, in which order, and what a death or another receiver changes about it: nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.integration.images import leaf, photograph, white
from tests.integration.server import Server, kill, wait_until
from tests.integration.webhook_sink import Sink

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS10ZXN0LXdpdGgtMzItYnl0ZXM="
TOKEN = "?token=s3cret"
ALL = "start,progress,completed"


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("webhooks"), {
        "MODELS_DIR": models_dir, "WEBHOOK_SECRET": SECRET, "WEBHOOK_PRIVATE": 1, "WORKERS": 1, "LOG_LEVEL": "debug"})
    running.start()
    yield running
    running.stop()


@pytest.fixture
def sink() -> Iterator[Sink]:
    listening = Sink()
    yield listening
    listening.close()


def submit(server: Server, url: str, image: bytes | None = None, model: str = "strawberry", **fields: str) -> str:
    answer = server.predict(image or leaf(), model, None, webhook=url, **fields)
    assert answer.status == 202, answer.body
    return answer.json["id"]


def tries(server: Server, job_id: str) -> list[dict]:
    path = server.job(job_id)["urls"]["deliveries"]
    return server.get(path).json["deliveries"]


def test_all_events_are_told_in_order_and_signed(telling: Server, sink: Sink) -> None:
    job_id = submit(telling, sink.url("/ok" + TOKEN), photograph(6), tile="160", webhook_events_filter=ALL)
    wait_until(lambda: sink.heard and sink.heard[-1].event == "completed", 30)
    events = [heard.event for heard in sink.heard]
    assert (events[0], events[-1], set(events[1:-1])) == ("start", "completed", {"progress"})
    documents = [Webhook(SECRET).verify(heard.body, dict(heard.headers)) for heard in sink.heard]
    assert [document["state"] for document in documents] == ["processing"] * (len(events) - 1) + ["succeeded"]
    done = [document["progress"]["done"] for document in documents]
    assert done == sorted(done)
    assert documents[-1] == telling.job(job_id)
    assert [(entry["event"], entry["status"]) for entry in tries(telling, job_id)] == [(name, 200) for name in events]


def test_who_does_not_answer_holds_up_nobody(telling: Server, sink: Sink) -> None:
    """Neither other receivers nor jobs. It is tried again, another with 410 is not, and redirects are not followed."""
    held = [submit(telling, sink.url("/held")) for _ in range(4)]
    flaky, gone, moved = (submit(telling, sink.url(path + TOKEN)) for path in ("/flaky", "/gone", "/moved"))
    away = submit(telling, "http://127.0.0.1:1/")
    wait_until(lambda: len(sink.at("/held")) == 4 and len(sink.at("/flaky")) == 2, 15)
    first, second = sink.at("/flaky")
    assert second.at - first.at > 4.5
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    wait_until(lambda: len(tries(telling, flaky)) == 2, 5)
    assert [(entry["number"], entry["status"]) for entry in tries(telling, flaky)] == [(1, 500), (2, 200)]
    assert [entry["status"] for entry in tries(telling, gone)] == [410]
    assert tries(telling, moved)[0]["status"] == 302
    assert "Connect call failed" in tries(telling, away)[0]["error"]
    assert sink.at("/ok") == []
    assert [tries(telling, job_id) for job_id in held] == [[]] * 4


def test_a_deliverer_that_is_killed_tells_again(telling: Server, sink: Sink) -> None:
    submit(telling, sink.url("/held"), white(), "sleep2", webhook_events_filter="start,completed")
    wait_until(lambda: len(sink.at("/held")) == 1, 10)
    [pid] = telling.pids()["deliverer"]
    kill(pid)
    wait_until(lambda: len(sink.at("/held")) == 2, 10)
    sink.release.set()
    wait_until(lambda: len(sink.at("/held")) == 3, 10)
    assert [heard.event for heard in sink.heard] == ["start", "start", "completed"]
    assert len({heard.headers["webhook-id"] for heard in sink.heard}) == 2


def test_a_job_with_a_webhook_can_be_waited_for_and_tells_no_secret(telling: Server, sink: Sink) -> None:
    answer = telling.predict(leaf(), webhook=sink.url("/ok" + TOKEN), mode="sync")
    assert (answer.status, answer.json["route"]) == (200, "queue")
    wait_until(lambda: sink.at("/ok"), 5)
    logs = "".join(file.read_text() for file in (telling.home / "logs").iterdir())
    assert "heard of completed" in logs
    assert {secret for secret in ("s3cret", SECRET.removeprefix("whsec_"), "v1,") if secret in logs} == set()
