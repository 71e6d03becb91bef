"""Whose a request is, and that what belongs to one key is not there for another."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from api.auth import digest, network
from tests.unit.conftest import MakeClient, services_of, start_running, work_off
from tests.unit.images import photo

MINE, THEIRS = {"X-API-Key": "mine"}, {"X-API-Key": "theirs"}
KEYS = "me:mine,they:theirs"


def post(client: FlaskClient, headers: dict[str, str], query: str = "&mode=async") -> TestResponse:
    return client.post(f"/predict?model_type=leaf{query}", data=photo(), content_type="image/jpeg", headers=headers)


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    return make_client(api_keys=KEYS)


@pytest.mark.parametrize(("address", "expected"), [
    ("10.0.0.7", "10.0.0.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("::1", "::/64"), ("", "elsewhere")])
def test_without_keys_the_share_goes_by_the_address_or_its_network(address: str, expected: str) -> None:
    assert network(address) == expected


@pytest.mark.parametrize(("headers", "is_told"), [
    ({"X-API-Key": "wrong"}, True), ({"Authorization": "Bearer wrong"}, True), ({}, False), ({"X-API-Key": ""}, False),
    ({"Authorization": "Basic wrong"}, False)])
def test_a_key_that_is_not_known_is_told_from_none(client: FlaskClient, headers: dict[str, str], is_told: bool) -> None:
    detail = client.get("/models", headers=headers).get_json()["detail"]
    assert ("this API key is not known" in detail) == is_told
    assert "wrong" not in detail
    assert "X-API-Key: <key>" in detail


@pytest.mark.parametrize("state", ["queued", "processing", "succeeded", "canceled"])
def test_a_job_is_there_for_its_key_alone_in_every_state(client: FlaskClient, redis: Redis, state: str) -> None:
    url = post(client, MINE).headers["Location"]
    if state == "processing":
        start_running(redis, url.removeprefix("/jobs/"))
    if state == "succeeded":
        work_off(redis)
    if state == "canceled":
        client.delete(url, headers=MINE)
    for answer in (client.get(url, headers=THEIRS), client.get(f"{url}/result", headers=THEIRS),
                   client.get(f"{url}?wait=9", headers=THEIRS), client.delete(url, headers=THEIRS)):
        assert (answer.status_code, answer.get_json()["type"]) == (404, "/problems/job-not-found")
        assert answer.get_json()["detail"] == f"no job {url.removeprefix('/jobs/')}"
    assert client.get(url, headers=MINE).get_json()["state"] == state


def test_after_its_time_a_job_is_known_to_its_key_alone(client: FlaskClient, redis: Redis) -> None:
    url = post(client, MINE).headers["Location"]
    work_off(redis)
    redis.delete(f"rq:job:{url.removeprefix('/jobs/')}")
    assert [client.get(url, headers=headers).status_code for headers in (MINE, THEIRS)] == [410, 404]


def test_a_job_of_a_key_is_not_there_where_no_keys_are_asked_for(client: FlaskClient) -> None:
    url = post(client, MINE).headers["Location"]
    services_of(client).callers._digests = ()
    assert client.get(url).status_code == 404


def test_a_call_that_waits_for_its_own_job_is_answered(make_client: MakeClient) -> None:
    client = make_client(api_keys=KEYS, quick_ms=0, inline_budget_ms=0, wait_max_s=0.05)
    assert post(client, MINE, "&mode=sync").status_code == 202


def test_the_queue_server_knows_no_key(client: FlaskClient, redis: Redis) -> None:
    url = post(client, MINE).headers["Location"]
    fields: Any = redis.hgetall(f"rq:job:{url.removeprefix('/jobs/')}")
    stored = b"".join(fields.values())
    assert b"mine" not in stored
    assert digest("mine").encode() in stored


def test_keys_are_read_again_when_they_are_to_be_and_a_broken_file_changes_nothing(make_client: MakeClient,
                                                                                  tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("me:mine\n")
    client = make_client(api_keys_file=file)
    callers = services_of(client).callers
    tries = []
    for content in ("me:mine", "they:theirs", "broken", "", "me:mine\nthey:theirs"):
        file.write_text(content)
        callers.read_again()
        tries.append([client.get("/models", headers=headers).status_code for headers in (MINE, THEIRS)])
    assert tries == [[200, 401], [401, 200], [401, 200], [401, 200], [200, 200]]


def test_one_key_cannot_take_all_places_of_those_who_wait(make_client: MakeClient) -> None:
    client = make_client(api_keys=KEYS, wait_max_s=60)
    mine, theirs = (post(client, headers).headers["Location"] for headers in (MINE, THEIRS))
    held = services_of(client).held
    while held.take(digest("mine"), 1):
        pass
    assert client.get(f"{mine}?wait=60", headers=MINE).get_json()["state"] == "queued"  # at once
    services_of(client).following.end()
    assert client.get(f"{theirs}?wait=60", headers=THEIRS).get_json()["state"] == "queued"


def test_one_key_cannot_take_all_bytes(make_client: MakeClient) -> None:
    client = make_client(api_keys=KEYS, inflight_mb=32)
    services_of(client).in_flight.reserve(32_000_000, digest("mine"))
    assert [post(client, headers, "").status_code for headers in (MINE, THEIRS)] == [503, 200]
