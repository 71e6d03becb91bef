"""The list of an owner's jobs: in the queue server, and behind Flask's test client."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from api import job_lists
from inference.errors import BadParameter
from jobs import listing as listing_module
from jobs.errors import JobExpired, JobNotFound
from jobs.job import JobRecord, JobRequest
from jobs.lifetimes import Lifetimes
from jobs.listing import Search
from jobs.queue import JobQueue
from jobs.turns import make_queue
from tests.unit.conftest import REQUEST, MakeClient, MakeSettings, work_off
from tests.unit.images import photo

FEW = Search(limit=2)


@pytest.fixture
def settings(make_settings: MakeSettings) -> Any:
    return make_settings(result_ttl_s=1)


def submit(queue: JobQueue, count: int, request: JobRequest = REQUEST) -> list[str]:
    """Ids, newest first."""
    return [queue.submit(request, photo()).id for _ in range(count)][::-1]


def ids(queue: JobQueue, search: Search, owner: str = "") -> list[str]:
    return [record.id for record in queue.listing.page(owner, search).records]


def forget_over(redis: Redis) -> None:
    """The time of all ended jobs goes by."""
    moments = iter([0.0, 10.0, 20.0, 30.0])
    pool = Lifetimes(make_queue(redis), lambda _: None, lambda: next(moments))
    for _ in range(3):
        pool.look()


def test_jobs_are_listed_newest_first_page_by_page(queue: JobQueue) -> None:
    submitted = submit(queue, 5)
    found, before = [], ""
    for count in (2, 2, 1):
        page = queue.listing.page("", replace(FEW, before=before))
        found += [record.id for record in page.records]
        assert len(page.records) == count
        before = page.before
    assert (found, before) == (submitted, "")


def test_a_page_that_just_ends_is_the_last(queue: JobQueue) -> None:
    submit(queue, 2)
    assert queue.listing.page("", FEW).before == ""


def test_jobs_that_come_meanwhile_move_no_page(queue: JobQueue) -> None:
    submitted = submit(queue, 4)
    before = queue.listing.page("", FEW).before
    submit(queue, 3)
    assert ids(queue, replace(FEW, before=before)) == submitted[2:]


def test_each_owner_has_a_list_of_his_own(queue: JobQueue) -> None:
    mine = submit(queue, 2, replace(REQUEST, owner="me"))
    theirs = submit(queue, 1, replace(REQUEST, owner="them"))
    assert (ids(queue, FEW, "me"), ids(queue, FEW, "them"), ids(queue, FEW)) == (mine, theirs, [])
    with pytest.raises(JobNotFound):
        queue.listing.page("them", replace(FEW, before=mine[0]))


def test_what_runs_and_was_promoted_is_listed_too(queue: JobQueue) -> None:
    record, _ = queue.promote(REQUEST, photo(), "web.1")
    assert ids(queue, FEW) == [record.id]


def test_a_list_has_no_results(queue: JobQueue, redis: Redis) -> None:
    submit(queue, 1)
    work_off(redis)
    [record] = queue.listing.page("", FEW).records
    assert (record.state, record.result) == ("succeeded", b"")


def test_jobs_are_chosen_by_state_and_model(queue: JobQueue) -> None:
    leaf, other = submit(queue, 2), submit(queue, 2, replace(REQUEST, model_type="other:2"))
    queue.cancel(leaf[1])
    queue.cancel(other[0])
    for search, expected in ((Search(9, state="canceled"), [other[0], leaf[1]]), (Search(9, state="failed"), []),
                             (Search(9, model_type="other"), other), (Search(9, model_type="other:2"), other),
                             (Search(9, model_type="other:1"), []),
                             (Search(9, state="queued", model_type="leaf"), [leaf[0]])):
        assert ids(queue, search) == expected


def test_a_search_that_finds_little_looks_at_so_many_jobs_and_says_where_to_go_on(
        queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_module, "AT_ONCE", 2)
    monkeypatch.setattr(listing_module, "MOST_LOOKED_AT", 4)
    submitted = submit(queue, 7)
    queue.cancel(submitted[-1])
    search = Search(9, state="canceled")
    page = queue.listing.page("", search)
    assert (page.records, page.before) == ([], submitted[3])
    page = queue.listing.page("", replace(search, before=page.before))
    assert ([record.id for record in page.records], page.before) == ([submitted[-1]], "")


def test_a_job_whose_time_is_over_leaves_the_list_and_nothing_stays_of_it(queue: JobQueue, redis: Redis) -> None:
    submitted = submit(queue, 2, replace(REQUEST, owner="me"))
    queue.cancel(submitted[1], "me")
    forget_over(redis)
    assert ids(queue, FEW, "me") == [submitted[0]]
    with pytest.raises(JobExpired):
        queue.listing.page("me", replace(FEW, before=submitted[1]))
    queue.cancel(submitted[0], "me")
    forget_over(redis)
    assert redis.keys("punnet:jobs:*") == []


def test_a_job_that_rqs_tools_deleted_leaves_the_list(queue: JobQueue, redis: Redis) -> None:
    deleted, stays = submit(queue, 2)
    redis.delete(f"rq:job:{deleted}")
    assert ids(queue, FEW) == [stays]
    assert redis.zcard("punnet:jobs:") == 1


def test_a_list_of_many_is_read_in_few_round_trips(queue: JobQueue, redis: Redis,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    submit(queue, 30)
    read: list[int] = []
    read_many = queue.records.read_many

    def counted(ids: Sequence[str]) -> list[JobRecord | None]:
        read.append(len(ids))
        return read_many(ids)

    monkeypatch.setattr(queue.records, "read_many", counted)
    assert len(ids(queue, Search(100))) == 30
    assert read == [30]


# The query


@pytest.mark.parametrize(("query", "search"), [
    ({}, Search(20)), ({"limit": "1"}, Search(1)), ({"limit": "100"}, Search(100)), ({"limit": "5000"}, Search(100)),
    ({"state": "failed", "model_type": "leaf", "before": "a"}, Search(20, "a", "failed", "leaf"))])
def test_a_query_says_which_jobs_are_wanted(query: dict[str, str], search: Search) -> None:
    assert job_lists.search(query) == search


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "-1"}, {"limit": "ten"}, {"limit": ""}, {"limit": "1.5"},
                                   {"state": "done"}, {"state": ""}, {"sate": "failed"}])
def test_a_malformed_query_is_refused_and_not_ignored(query: dict[str, str]) -> None:
    with pytest.raises(BadParameter, match=next(iter(query))):
        job_lists.search(query)


# Behind Flask's test client


def post(client: FlaskClient, **headers: str) -> str:
    return client.post("/predict?model_type=leaf&mode=async", data=photo(), content_type="image/jpeg",
                       headers=headers).get_json()["id"]


def test_the_list_holds_job_documents_without_results(client: FlaskClient, redis: Redis) -> None:
    job_id = post(client)
    work_off(redis)
    answer = client.get("/jobs")
    document = client.get(f"/jobs/{job_id}").get_json()
    del document["result"]
    assert (answer.status_code, answer.get_json()) == (200, {"jobs": [document], "next": None})


def test_the_list_says_where_it_goes_on(client: FlaskClient) -> None:
    submitted = [post(client) for _ in range(3)][::-1]
    first = client.get("/jobs?limit=2&state=queued").get_json()
    assert first["next"] == f"/jobs?limit=2&state=queued&before={submitted[1]}"
    second = client.get(first["next"]).get_json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == submitted
    assert second["next"] is None


@pytest.mark.parametrize(("query", "status"), [("limit=x", 422), ("state=x", 422), ("before=absent", 404)])
def test_a_list_that_cannot_be_made_is_a_problem(client: FlaskClient, query: str, status: int) -> None:
    assert client.get(f"/jobs?{query}").get_json()["status"] == status


def test_a_key_lists_its_own_jobs_alone(make_client: MakeClient) -> None:
    client = make_client(api_keys="a:mine,b:theirs")
    mine = post(client, **{"X-API-Key": "mine"})
    listed = {key: [job["id"] for job in client.get("/jobs", headers={"X-API-Key": key}).get_json()["jobs"]]
              for key in ("mine", "theirs")}
    assert listed == {"mine": [mine], "theirs": []}
    assert client.get("/jobs").status_code == 401
