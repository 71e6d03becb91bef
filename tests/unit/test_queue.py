import dataclasses
import json
import logging
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import fakeredis
import pytest
from redis import Redis
from rq.registry import CanceledJobRegistry

from inference.errors import UnsupportedImage
from jobs.backlog import note_pace
from jobs.errors import JobExpired, JobNotFound, NotInTime, QueueFull, QueueUnavailable
from jobs.job import Outcome, retry_after_s
from jobs.keys import DEFAULT_QUEUE, key
from jobs.lifetimes import RESULT
from jobs.progress import note_progress
from jobs.queue import JobQueue
from jobs.recovery import requeue
from jobs.results import LARGE_BYTES, PLACE_BYTES
from jobs.store import FolderStore, RedisStore, make_store
from jobs.stores.contract import RESULTS
from jobs.turns import make_queue
from settings import Settings
from tests.unit.conftest import REQUEST, MakeSettings, refuse_writes, start_running, stored, work_off
from tests.unit.fake_predictors import PREDICTION, RESULT_JSON, FakePredictors
from tests.unit.images import photo

SUCCESS = Outcome(model_version="1", timings_ms={})


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(job_workers=1)


def test_a_job_waits_then_runs_then_has_succeeded(queue: JobQueue, redis: Redis) -> None:
    waiting = queue.submit(REQUEST, photo())
    assert (waiting.state, waiting.queue_position, waiting.started_at, waiting.ended) == ("queued", 1, None, False)
    work_off(redis)
    done = queue.read(waiting.id)
    assert (done.state, done.queue_position, done.eta_s, done.ended) == ("succeeded", None, None, True)
    assert done.outcome is not None
    assert (done.outcome.model_version, done.result) == ("1", RESULT_JSON)
    assert done.started_at is not None
    assert done.completed_at is not None
    assert done.created_at <= done.started_at <= done.completed_at
    assert done.total_ms >= done.queue_ms >= 0
    assert make_queue(redis).finished_job_registry.get_job_ids() == [done.id]


@pytest.mark.parametrize(("outcome", "told"), [
    (Outcome(model_version="1", timings_ms={}), "succeeded after N ms"),
    (Outcome(kind="UnsupportedImage", detail="it is a text"), "failed after N ms: UnsupportedImage: it is a text"),
    (None, "canceled after N ms")])
def test_the_end_of_a_job_is_logged_once_with_its_milliseconds(
        queue: JobQueue, redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
        outcome: Outcome | None, told: str) -> None:
    """Also where it can be written down only the second time."""
    execution = start_running(redis, queue.submit(REQUEST, photo()).id)
    refuse_writes(monkeypatch, times=1)
    with caplog.at_level(logging.INFO, "jobs"):
        for _ in range(2):
            with suppress(QueueUnavailable):
                queue.end(execution, outcome, b"{}") if outcome else queue.cancel(execution.job_id)
    assert [re.sub(r"\d+ ms", "N ms", message) for message in caplog.messages] == [f"job {execution.job_id} {told}"]


def test_a_job_that_is_canceled_while_it_waits_has_not_begun(queue: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    with caplog.at_level(logging.INFO, "jobs"):
        queue.cancel(job_id)
    assert caplog.messages == [f"job {job_id} canceled before it began"]


def test_a_refused_image_is_a_failed_job_with_the_refusal_and_is_not_tried_again(
        queue: JobQueue, redis: Redis, predictors: FakePredictors) -> None:
    predictors.answer = UnsupportedImage("it is a text")
    job_id = queue.submit(REQUEST, b"no image").id
    work_off(redis, predictors)
    record = queue.read(job_id)
    assert record.outcome is not None
    assert (record.state, record.outcome.kind, record.outcome.detail) == ("failed", "UnsupportedImage", "it is a text")
    assert (len(predictors.asked), redis.llen(make_queue(redis).key)) == (1, 0)
    assert make_queue(redis).failed_job_registry.get_job_ids() == [job_id]


def test_trouble_of_the_machinery_is_tried_again_and_then_told(queue: JobQueue, redis: Redis,
                                                               predictors: FakePredictors) -> None:
    predictors.answer = OSError("disk")
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis, predictors)
    record = queue.read(job_id)
    assert record.outcome is not None
    assert (record.state, record.outcome.kind, len(predictors.asked)) == ("failed", "WorkerLost", 5)
    assert record.completed_at is not None


def test_the_image_moves_on_once_its_job_has_ended(queue: JobQueue, redis: Redis) -> None:
    job_id = queue.submit(REQUEST, photo()).id
    assert stored(redis) == [job_id]
    work_off(redis)
    assert stored(redis) == []


def test_position_and_eta_follow_the_work_before_it(queue: JobQueue) -> None:
    ids = [queue.submit(dataclasses.replace(REQUEST, predicted_ms=1000 * number), photo()).id for number in (1, 2, 3)]
    records = [queue.read(job_id) for job_id in ids]
    assert [record.queue_position for record in records] == [1, 2, 3]
    assert [record.eta_s for record in records] == [1, 3, 6]
    assert [retry_after_s(record) for record in records] == [1, 3, 6]


def test_the_backlog_is_forgotten_once_nothing_is_left(queue: JobQueue, redis: Redis) -> None:
    for _ in range(3):
        queue.submit(REQUEST, photo())
    work_off(redis)
    redis.delete("punnet:pace")
    eta_s = queue.submit(REQUEST, photo()).eta_s
    assert eta_s is not None
    assert eta_s <= REQUEST.predicted_ms / 1000


@pytest.mark.parametrize("begin", [lambda queue, redis, job_id: None, lambda queue, redis, job_id: start_running(
    redis, job_id), lambda queue, redis, job_id: redis.lmove(queue.key, queue.intermediate_queue_key)])
def test_a_canceled_job_is_nowhere_but_in_the_canceled_registry(queue: JobQueue, redis: Redis, begin: Callable) -> None:
    """Queued, running, or just taken by a worker that has not registered it yet."""
    rq_queue, first, second = make_queue(redis), queue.submit(REQUEST, photo()).id, queue.submit(REQUEST, photo()).id
    began = begin(rq_queue, redis, first) is not None and queue.read(first).state == "processing"
    record = queue.cancel(first)
    assert (record.state, record.outcome, record.started_at is not None) == ("canceled", None, began)
    assert record.completed_at is not None
    assert CanceledJobRegistry(queue=rq_queue).get_job_ids() == [first]
    assert (rq_queue.get_job_ids(), rq_queue.intermediate_queue.get_job_ids()) == ([second], [])
    assert redis.zcard(rq_queue.started_job_registry.key) == 0
    assert queue.read(second).queue_position == 1
    assert stored(redis) == [second]
    work_off(redis)
    assert (queue.read(first).state, queue.read(second).state) == ("canceled", "succeeded")


def test_canceling_an_ended_job_changes_nothing(queue: JobQueue, redis: Redis) -> None:
    done, canceled = queue.submit(REQUEST, photo()).id, queue.submit(REQUEST, photo()).id
    queue.cancel(canceled)
    work_off(redis)
    for job_id in (done, canceled):
        before = queue.read(job_id)
        assert queue.cancel(job_id) == before


@pytest.mark.parametrize("job_id", ["absent", "", "a:b", "x" * 500, "../x", "ü"])
@pytest.mark.parametrize("call", [JobQueue.read, JobQueue.cancel])
def test_an_id_that_never_was_is_not_found(queue: JobQueue, job_id: str, call: Callable) -> None:
    with pytest.raises(JobNotFound):
        call(queue, job_id)


@pytest.mark.parametrize("lost", ["rq:job:", key(DEFAULT_QUEUE, RESULT)])
def test_a_job_that_is_gone_has_expired_and_one_that_never_was_is_not_found(queue: JobQueue, redis: Redis,
                                                                            lost: str) -> None:
    """So has one whose result alone is gone."""
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis)
    redis.delete(lost + job_id)
    with pytest.raises(JobExpired):
        queue.read(job_id)
    with pytest.raises(JobNotFound):
        queue.read("0" * 32)


def test_a_full_queue_says_when_to_come_back(redis: Redis, make_settings: MakeSettings) -> None:
    queue = JobQueue(redis, RedisStore(redis), make_settings(queue_max_jobs=2, job_workers=1))
    for _ in range(2):
        queue.submit(dataclasses.replace(REQUEST, predicted_ms=4000), photo())
    with pytest.raises(QueueFull, match="PUNNET_QUEUE_MAX_JOBS") as caught:
        queue.submit(REQUEST, photo())
    assert caught.value.retry_after_s == 4
    assert len(stored(redis)) == 2


def test_images_fill_the_queue_too(redis: Redis, make_settings: MakeSettings) -> None:
    queue = JobQueue(redis, RedisStore(redis), make_settings(queue_max_mb=0.01))
    queue.submit(REQUEST, b"x" * 6000)
    with pytest.raises(QueueFull, match="PUNNET_QUEUE_MAX_MB") as caught:
        queue.submit(REQUEST, b"x" * 6000)
    assert caught.value.retry_after_s >= 1
    assert queue.submit(REQUEST, b"x" * 4000).queue_position == 2


@pytest.mark.parametrize("call", [
    lambda queue: queue.submit(REQUEST, b"x"), lambda queue: queue.read("a"), lambda queue: queue.cancel("a")])
def test_a_queue_server_that_is_away_is_told(queue: JobQueue, server: fakeredis.FakeServer,
                                             call: Callable[[JobQueue], object]) -> None:
    server.connected = False
    with pytest.raises(QueueUnavailable):
        call(queue)


def test_a_queue_server_whose_disk_is_full_is_told_as_such(queue: JobQueue,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_writes(monkeypatch)
    with pytest.raises(QueueUnavailable, match="its disk or memory is full"):
        queue.submit(REQUEST, photo())


def test_nothing_in_redis_is_pickled_and_no_image_is_in_a_job(queue: JobQueue, redis: Redis) -> None:
    done = queue.submit(REQUEST, photo()).id
    work_off(redis)
    waiting = queue.submit(REQUEST, photo()).id
    for job_id in (done, waiting):
        stored: Any = redis.hgetall(f"rq:job:{job_id}")
        task, _, arguments, keywords = json.loads(zlib.decompress(stored[b"data"]))
        assert (task, arguments) == ("worker.tasks.predict", [])
        assert keywords == {"model_type": "leaf", "parameters": REQUEST.parameters, "deadline_at": None}
        assert json.loads(stored[b"meta"])["model_type"] == "leaf"
        assert len(b"".join(stored.values())) < 2000


@pytest.mark.parametrize(("embedded", "kind"), [(True, FolderStore), (False, RedisStore)])
def test_images_lie_beside_our_own_server_and_in_an_outside_one(make_settings: MakeSettings, redis: Redis,
                                                                embedded: bool, kind: type) -> None:
    settings = make_settings(redis_url="" if embedded else "redis://outside")
    assert isinstance(make_store(redis, settings), kind)


@pytest.mark.parametrize(("took_ms", "eta_s"), [(150, 0.15), (300, 0.3), (40, 0.04)])
def test_eta_goes_by_the_pace_that_the_workers_keep(queue: JobQueue, redis: Redis, took_ms: float,
                                                    eta_s: float) -> None:
    """With tiles on several cores it is less than predicted."""
    for _ in range(20):
        note_pace(redis, make_queue(redis), predicted_ms=100, took_ms=took_ms)
    assert queue.submit(REQUEST, photo()).eta_s == pytest.approx(eta_s, rel=0.02)


def test_eta_of_a_running_job_is_what_is_left_of_it(queue: JobQueue, redis: Redis) -> None:
    record = queue.submit(replace(REQUEST, predicted_ms=60_000), photo())
    start_running(redis, record.id)
    eta_s = queue.read(record.id).eta_s
    assert eta_s is not None
    assert 50 < eta_s <= 60


def test_what_could_not_begin_in_time_is_not_accepted(queue: JobQueue) -> None:
    queue.submit(replace(REQUEST, predicted_ms=60_000), photo())
    with pytest.raises(NotInTime, match="60"):
        queue.submit(replace(REQUEST, deadline_s=30), photo())
    assert queue.submit(replace(REQUEST, deadline_s=90), photo()).state == "queued"


def test_what_runs_already_is_not_refused_for_those_in_line(queue: JobQueue) -> None:
    queue.submit(replace(REQUEST, predicted_ms=60_000), photo())
    record, _ = queue.promote(replace(REQUEST, deadline_s=30), photo(), "web.1")
    assert record.state == "processing"


def test_progress_is_that_of_the_current_execution(queue: JobQueue, redis: Redis) -> None:
    record = queue.submit(replace(REQUEST, tiles=24), photo())
    execution = start_running(redis, record.id)
    note_progress(make_queue(redis), record.id, execution.id, 7)
    assert (queue.read(record.id).tiles_done, queue.read(record.id).tiles) == (7, 24)
    requeue(make_queue(redis), record.id, execution.id, blame=True)
    start_running(redis, record.id)
    note_progress(make_queue(redis), record.id, execution.id, 8)  # a zombie's
    assert queue.read(record.id).tiles_done == 0


def test_a_job_that_still_waits_at_its_deadline_ends(queue: JobQueue, redis: Redis) -> None:
    record = queue.submit(REQUEST, photo())
    ended = queue.give_up(record.id)
    assert (ended.state, ended.outcome and ended.outcome.kind) == ("failed", "Deadline")
    assert stored(redis) == []


def test_a_job_that_runs_at_its_deadline_is_its_workers(queue: JobQueue, redis: Redis) -> None:
    record = queue.submit(REQUEST, photo())
    start_running(redis, record.id)
    assert queue.give_up(record.id).state == "processing"


def test_what_runs_elsewhere_can_be_promoted_and_ended(queue: JobQueue, redis: Redis) -> None:
    record, execution = queue.promote(REQUEST, photo(), "web.1")
    assert (record.state, record.queue_position) == ("processing", None)
    assert queue.heartbeat(execution)
    queue.end(execution, SUCCESS, b"{}")
    ended = queue.read(record.id)
    assert (ended.state, ended.result) == ("succeeded", b"{}")
    assert queue.ended_image(record.id) == photo()
    assert stored(redis) == []


def test_a_promoted_job_can_be_drawn_in_the_moment_of_its_end_too(queue: JobQueue,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    record, execution = queue.promote(REQUEST, photo(), "web.1")
    monkeypatch.setattr(RedisStore, "rename", lambda *_: seen.append(queue.ended_image(record.id)))
    seen: list[bytes] = []
    queue.end(execution, SUCCESS, b"{}")
    assert seen == [photo()]


def test_a_promoted_job_that_was_requeued_stays_as_it_is(queue: JobQueue, redis: Redis) -> None:
    record, execution = queue.promote(REQUEST, photo(), "web.1")
    requeue(make_queue(redis), record.id, execution.id, blame=True)
    assert not queue.heartbeat(execution)
    queue.end(execution, SUCCESS, b"{}")
    assert queue.read(record.id).state == "queued"
    assert stored(redis) == [record.id]


def test_a_promoted_job_that_was_canceled_hears_it_at_its_heartbeat(queue: JobQueue) -> None:
    record, execution = queue.promote(REQUEST, photo(), "web.1")
    assert queue.cancel(record.id).state == "canceled"
    assert not queue.heartbeat(execution)
    queue.end(execution, SUCCESS, b"{}")
    assert queue.read(record.id).state == "canceled"


def large_job(queue: JobQueue, redis: Redis, predictors: FakePredictors) -> tuple[str, bytes]:
    """A job that has succeeded, and its result."""
    result = json.dumps("x" * LARGE_BYTES).encode()
    predictors.answer = replace(PREDICTION, result=result)
    job_id = queue.submit(REQUEST, photo()).id
    work_off(redis, predictors)
    return job_id, result


def test_a_large_result_lies_in_the_store_and_only_its_place_in_the_queue_server(
        queue: JobQueue, redis: Redis, predictors: FakePredictors) -> None:
    job_id, result = large_job(queue, redis, predictors)
    [name] = stored(redis, RESULTS)
    assert (name.partition(".")[0], queue.read(job_id).result) == (job_id, result)
    assert 0 < redis.strlen(key(DEFAULT_QUEUE, RESULT + job_id)) <= PLACE_BYTES
    RedisStore(redis).delete(f"{RESULTS}/{name}")
    with pytest.raises(JobExpired, match="gone from the store"):
        queue.read(job_id)


def test_large_results_in_the_queue_servers_memory_fill_the_queue(redis: Redis, make_settings: MakeSettings,
                                                                  predictors: FakePredictors) -> None:
    """A result that was promised does not go before its time for a new job."""
    queue = JobQueue(redis, RedisStore(redis), make_settings(queue_max_mb=0.05, result_ttl_s=500))
    job_id, _ = large_job(queue, redis, predictors)
    with pytest.raises(QueueFull, match="PUNNET_RESULT_TTL_S") as caught:
        JobQueue(redis, RedisStore(redis), make_settings(queue_max_mb=0.05)).submit(REQUEST, photo())
    assert 490 < caught.value.retry_after_s <= 502
    assert queue.read(job_id).state == "succeeded"
