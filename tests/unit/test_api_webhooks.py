"""Calls with a webhook, behind Flask's test client, and what is posted of them."""

from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from redis import Redis

from deliveries.documents import document
from jobs.backlog import Backlog
from jobs.outbox import Delivery, Outbox, Try
from jobs.records import Records
from jobs.results import Results
from jobs.store import RedisStore
from jobs.turns import make_queue
from settings import Settings
from tests.unit.conftest import MakeClient, start_running, work_off
from tests.unit.images import photo

HOOK = "https://example.org/hook"
URL = f"/predict?model_type=leaf&webhook={HOOK}"


def submit(client: FlaskClient, more: str = "") -> Any:
    return client.post(URL + more, data=photo(), content_type="image/jpeg")


def posted(redis: Redis, settings: Settings, job_id: str, event: Any, tiles_done: int = 0) -> Any:
    records = Records(make_queue(redis), Backlog(make_queue(redis), settings), Results(RedisStore(redis)).get)
    return orjson.loads(document(records, "/below", Delivery(job_id, HOOK, event, 1, tiles_done)))


def test_a_call_with_a_webhook_is_a_job_that_tells_of_its_deliveries(client: FlaskClient, redis: Redis) -> None:
    answer = submit(client)
    url = answer.headers["Location"]
    assert (answer.status_code, answer.get_json()["urls"]["deliveries"]) == (202, f"{url}/deliveries")
    assert client.get(f"{url}/deliveries").get_json() == {"deliveries": []}
    work_off(redis)
    outbox = Outbox(make_queue(redis), "one", kept_s=60)
    [job_id] = outbox.claim(1)
    delivery = outbox.delivery(job_id)
    assert delivery is not None
    outbox.settle(delivery, Try("2026-01-01T00:00:00.000Z", "completed", 1, 200))
    assert client.get(f"{url}/deliveries").get_json() == {"deliveries": [
        {"at": "2026-01-01T00:00:00.000Z", "event": "completed", "number": 1, "status": 200, "error": None}]}


def test_deliveries_of_no_job_are_not_found(client: FlaskClient) -> None:
    assert client.get("/jobs/none/deliveries").status_code == 404


def test_deliveries_are_the_jobs_keys_alone(make_client: MakeClient) -> None:
    client = make_client(api_keys="me:mine,they:theirs")
    mine, theirs = ({"X-API-Key": key} for key in ("mine", "theirs"))
    url = client.post(URL, data=photo(), content_type="image/jpeg", headers=mine).headers["Location"] + "/deliveries"
    assert [client.get(url, headers=headers).status_code for headers in (mine, theirs)] == [200, 404]


def test_what_is_posted_at_the_end_is_the_job_document(client: FlaskClient, redis: Redis, settings: Settings) -> None:
    url = submit(client).headers["Location"]
    work_off(redis)
    document = posted(redis, settings, url.removeprefix("/jobs/"), "completed")
    assert document["urls"].pop("get") == f"/below{url}"
    shown = client.get(url).get_json()
    assert document | {"urls": None} == shown | {"urls": None}
    assert document["result"] == shown["result"]


@pytest.mark.parametrize(("event", "tiles_done"), [("start", 0), ("progress", 3)])
def test_what_began_is_told_as_under_way_though_it_has_ended(client: FlaskClient, redis: Redis, settings: Settings,
                                                             event: str, tiles_done: int) -> None:
    job_id = submit(client).headers["Location"].removeprefix("/jobs/")
    start_running(redis, job_id)
    client.delete(f"/jobs/{job_id}")
    document = posted(redis, settings, job_id, event, tiles_done)
    assert (document["state"], document["status"], document["progress"]["done"]) == ("processing", 202, tiles_done)
    assert (document["completed_at"], document["started_at"] is None) == (None, False)
    assert posted(redis, settings, job_id, "completed")["state"] == "canceled"
