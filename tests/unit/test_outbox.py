from dataclasses import replace
from typing import cast

import pytest
from redis import Redis

from jobs import outbox as outbox_module
from jobs.backlog import Backlog
from jobs.execution import cancel, end
from jobs.job import Outcome
from jobs.outbox import MOST_TRIES, PAUSES_S, Delivery, Outbox, Try
from jobs.progress import note_progress
from jobs.queue import JobQueue
from jobs.records import Records
from jobs.results import Results
from jobs.store import RedisStore
from jobs.turns import make_queue
from jobs.webhooks import DUE, ENDED_JOB, EVENTS, HOOK, Event, Webhook
from settings import Settings
from tests.unit.conftest import REQUEST, start_running, work_off
from tests.unit.images import photo

URL = "https://example.org/hook?token=s3cret"
ASKED = replace(REQUEST, webhook=Webhook(URL, EVENTS))


@pytest.fixture
def outbox(redis: Redis) -> Outbox:
    return Outbox(make_queue(redis), "one", kept_s=60)


def claimed(outbox: Outbox) -> Delivery:
    [job_id] = outbox.claim(10)
    delivery = outbox.delivery(job_id)
    assert delivery is not None
    return delivery


def told(outbox: Outbox) -> Event:
    delivery = claimed(outbox)
    outbox.settle(delivery, made(delivery, 200))
    return delivery.event


def made(delivery: Delivery, status: int | None) -> Try:
    return Try("2026-01-01T00:00:00Z", delivery.event, delivery.number, status, None if status else "no answer")


def make_due(redis: Redis) -> None:
    for job_id in cast(list[bytes], redis.zrange(f"punnet:{DUE}", 0, -1)):
        redis.zadd(f"punnet:{DUE}", {job_id: 0})


def test_a_job_without_a_webhook_tells_nothing(queue: JobQueue, redis: Redis, outbox: Outbox) -> None:
    queue.submit(REQUEST, photo())
    work_off(redis)
    assert outbox.is_empty()
    assert [key for key in redis.keys("*") if b"webhook" in key] == []


def test_events_are_told_in_their_order(queue: JobQueue, redis: Redis, outbox: Outbox) -> None:
    job_id = queue.submit(ASKED, photo()).id
    assert outbox.is_empty()
    execution = start_running(redis, job_id)
    note_progress(make_queue(redis), job_id, execution.id, 1)
    assert [told(outbox), told(outbox)] == ["start", "progress"]
    assert outbox.claim(10) == []
    note_progress(make_queue(redis), job_id, execution.id, 2)
    end(make_queue(redis), job_id, execution.id, Outcome())
    note_progress(make_queue(redis), job_id, execution.id, 3)  # a zombie's
    assert told(outbox) == "completed"
    assert outbox.is_empty()


def test_of_progress_the_newest_is_told(queue: JobQueue, redis: Redis, outbox: Outbox) -> None:
    job_id = queue.submit(replace(ASKED, webhook=Webhook(URL, ("progress",))), photo()).id
    execution = start_running(redis, job_id)
    for done in (1, 2):
        note_progress(make_queue(redis), job_id, execution.id, done)
    delivery = claimed(outbox)
    assert (delivery.tiles_done, delivery.message_id) == (2, f"msg_{job_id}_progress_2")
    note_progress(make_queue(redis), job_id, execution.id, 3)  # while it is told
    outbox.settle(delivery, made(delivery, 204))
    assert claimed(outbox).tiles_done == 3


def test_only_what_is_wanted_is_told_and_the_rest_is_tidied_up(queue: JobQueue, redis: Redis,
                                                               outbox: Outbox) -> None:
    job_id = queue.submit(replace(ASKED, webhook=Webhook(URL, ("start",))), photo()).id
    work_off(redis)
    assert told(outbox) == "start"
    assert outbox.is_empty()
    assert 0 < redis.ttl(f"punnet:{HOOK}{job_id}") <= 60


def test_a_canceled_job_is_told_as_ended(queue: JobQueue, redis: Redis, outbox: Outbox) -> None:
    job_id = queue.submit(ASKED, photo()).id
    cancel(make_queue(redis), job_id)
    assert told(outbox) == "completed"


def test_while_an_event_is_told_nothing_else_of_its_job_is(queue: JobQueue, redis: Redis, outbox: Outbox) -> None:
    job_id = queue.submit(ASKED, photo()).id
    start_running(redis, job_id)
    delivery = claimed(outbox)
    cancel(make_queue(redis), job_id)
    assert outbox.claim(10) == []
    outbox.settle(delivery, made(delivery, 200))
    assert told(outbox) == "completed"


def test_a_failed_try_is_made_again_after_a_pause_and_counted(queue: JobQueue, redis: Redis, outbox: Outbox) -> None:
    job_id = queue.submit(ASKED, photo()).id
    work_off(redis)
    for number in range(1, MOST_TRIES + 1):
        delivery = claimed(outbox)
        assert (delivery.event, delivery.number) == ("start", number)
        outbox.settle(delivery, made(delivery, 500 if number % 2 else None))
        if number < MOST_TRIES:
            assert outbox.claim(10) == []
            make_due(redis)
    assert told(outbox) == "completed"  # the event before it is given up
    tries = queue.deliveries(job_id)
    assert [(entry["event"], entry["number"]) for entry in tries[-2:]] == [("start", 8), ("completed", 1)]
    assert (tries[0]["status"], tries[1]["status"], tries[1]["error"]) == (500, None, "no answer")


def test_pauses_grow_over_hours() -> None:
    assert MOST_TRIES == 8
    assert list(PAUSES_S) == sorted(set(PAUSES_S))
    assert 8 * 3600 < sum(PAUSES_S) < 24 * 3600
    tries = [Try("", "start", number, 503) for number in range(1, MOST_TRIES + 1)]
    assert [entry.pause_s for entry in tries] == [*PAUSES_S, 0]


@pytest.mark.parametrize(("status", "number", "result"), [
    (200, 1, "told"), (204, 8, "told"), (302, 1, "failed"), (404, 7, "failed"), (410, 1, "refused"),
    (410, 8, "refused"), (429, 1, "failed"), (500, 8, "given-up"), (None, 1, "failed"), (None, 8, "given-up")])
def test_what_comes_of_a_try(status: int | None, number: int, result: str) -> None:
    entry = Try("", "start", number, status)
    assert (entry.result, entry.pause_s > 0) == (result, result == "failed")


def test_a_receiver_who_says_410_hears_no_more(queue: JobQueue, redis: Redis, outbox: Outbox) -> None:
    job_id = queue.submit(ASKED, photo()).id
    execution = start_running(redis, job_id)
    delivery = claimed(outbox)
    outbox.settle(delivery, made(delivery, 410))
    note_progress(make_queue(redis), job_id, execution.id, 1)
    assert outbox.is_empty()
    cancel(make_queue(redis), job_id)
    [claimed_id] = outbox.claim(10)
    assert outbox.delivery(claimed_id) is None
    outbox.let_go(claimed_id)
    assert outbox.is_empty()
    assert URL not in str([redis.hgetall(key) for key in redis.keys(f"punnet:{HOOK}*")])


def test_what_a_dead_deliverer_had_is_due_for_its_successor(queue: JobQueue, redis: Redis, outbox: Outbox) -> None:
    queue.submit(ASKED, photo())
    work_off(redis)
    dead, other = claimed(outbox), Outbox(make_queue(redis), "other", kept_s=60)
    other.release_own()
    assert other.claim(10) == []
    outbox.release_own()
    assert claimed(outbox) == dead


def test_who_lost_its_claim_changes_nothing(queue: JobQueue, redis: Redis, outbox: Outbox) -> None:
    queue.submit(ASKED, photo())
    work_off(redis)
    slow, other = claimed(outbox), Outbox(make_queue(redis), "other", kept_s=60)
    make_due(redis)  # the claim is over
    assert claimed(other) == slow
    outbox.settle(slow, made(slow, 200))
    assert other.delivery(slow.job_id) == slow


def test_what_happens_while_nothing_is_found_is_not_lost(queue: JobQueue, redis: Redis, outbox: Outbox) -> None:
    job_id = queue.submit(ASKED, photo()).id
    execution = start_running(redis, job_id)
    assert told(outbox) == "start"
    redis.zadd(f"punnet:{DUE}", {job_id: 0})
    assert (outbox.claim(10), outbox.delivery(job_id)) == ([job_id], None)
    end(make_queue(redis), job_id, execution.id, Outcome())
    outbox.let_go(job_id)
    assert told(outbox) == "completed"


def test_a_busy_receivers_delivery_comes_later(queue: JobQueue, redis: Redis, outbox: Outbox,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    queue.submit(ASKED, photo())
    work_off(redis)
    [job_id] = outbox.claim(10)
    outbox.defer(job_id, 2)
    assert outbox.claim(10) == []
    outbox.defer(job_id, outbox_module.LEASE_S - 2)
    assert outbox.claim(10) == [job_id]


def test_a_job_is_told_after_its_time(queue: JobQueue, redis: Redis, settings: Settings, outbox: Outbox) -> None:
    job_id = queue.submit(ASKED, photo()).id
    work_off(redis)
    records = Records(make_queue(redis), Backlog(make_queue(redis), settings), Results(RedisStore(redis)).get)
    assert records.to_tell(job_id).result
    redis.delete(f"rq:job:{job_id}", f"punnet:result:{job_id}")
    record = records.to_tell(job_id)
    assert (record.state, record.result) == ("succeeded", b"")
    assert [told(outbox), told(outbox)] == ["start", "completed"]
    assert not redis.exists(f"punnet:{ENDED_JOB}{job_id}")
