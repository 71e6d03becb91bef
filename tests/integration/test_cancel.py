"""DELETE of a job really ends its computing, wherever the job is, and the next job starts."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

import pytest

from tests.integration.images import leaf, photograph, white
from tests.integration.server import Server, wait_until

pytestmark = pytest.mark.alone

TIMES = int(os.environ.get("PUNNET_TEST_CANCELS", "5"))
MEDIAN_S, MOST_S = 0.15, 0.5
TICK_S = 0.01


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    """One worker and one predictor for jobs."""
    models = tmp_path_factory.mktemp("cancel-models")
    for model in (*models_dir.iterdir(), Path(__file__).parents[2] / "models" / "strawberry-fruit"):
        (models / model.name).symlink_to(model)
    running = Server(tmp_path_factory.mktemp("cancel"), {"MODELS_DIR": models, "JOB_WORKERS": 1, "PREDICTORS": 1})
    running.start()
    yield running
    running.stop()


def used_s(server: Server) -> float:
    """Seconds of a core that the job's predictor has used."""
    [pid] = server.pids()["job predictor"]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def wait_until_it_computes(server: Server, job_id: str) -> None:
    server.wait_for_state(job_id, "processing")
    before = used_s(server)
    wait_until(lambda: used_s(server) > before + 3 * TICK_S or None, 10)


def tiles_done(server: Server, job_id: str) -> int:
    return server.job(job_id)["progress"]["done"]


def ended_after_s(server: Server, began: float) -> float:
    """When the predictor was seen to compute last, or else when the call was answered; it is idle for 0.2 s then."""
    last, used = time.monotonic(), used_s(server)
    while time.monotonic() < last + 0.2:
        time.sleep(TICK_S)
        if (now := used_s(server)) > used:
            last, used = time.monotonic(), now
    return last - began


@pytest.mark.parametrize("kind", ["one long native call", "decoding", "tiles"])
def test_a_running_job_is_canceled_at_once(worker: Server, kind: str) -> None:
    image, model = (white(), "sleep5") if kind == "one long native call" else (photograph(36), "strawberry-fruit")
    times = []
    for _ in range(TIMES):
        job_id = worker.submit(image, model)
        wait_until_it_computes(worker, job_id)
        if kind == "tiles":
            wait_until(partial(tiles_done, worker, job_id), 20)
        began = time.monotonic()
        answer = worker.request("DELETE", f"/jobs/{job_id}")
        times.append(ended_after_s(worker, began))
        assert (answer.status, answer.json["state"], answer.json["status"]) == (200, "canceled", 410)
        assert worker.job(job_id)["state"] == "canceled"
    assert worker.job(worker.submit(leaf(), "strawberry"), wait_s=30)["state"] == "succeeded"
    print(f"{kind}: computing ended after {median(times) * 1000:.0f} ms (median), {max(times) * 1000:.0f} at most")
    assert median(times) < MEDIAN_S
    assert max(times) < MOST_S


def test_a_job_is_canceled_at_any_moment_between_waiting_and_running(worker: Server) -> None:
    """Deletions come sooner and later after the submission, so that some meet it being taken."""
    for delay_ms in range(0, 40, 2):
        job_id = worker.submit(white(), "sleep2")
        time.sleep(delay_ms / 1000)
        answer = worker.request("DELETE", f"/jobs/{job_id}")
        assert (answer.status, answer.json["state"]) == (200, "canceled")
        assert worker.job(job_id)["state"] == "canceled"
    assert worker.job(worker.submit(leaf(), "strawberry"), wait_s=30)["state"] == "succeeded"


def test_a_promoted_job_is_canceled(worker: Server) -> None:
    """Its run goes on at an inline predictor, for a web process that is no worker of RQ's."""
    answer = worker.predict(white(), "sleep5")
    assert (answer.status, answer.json["state"]) == (202, "processing")
    assert worker.request("DELETE", answer.json["urls"]["cancel"]).json["state"] == "canceled"
    began = time.monotonic()
    assert worker.predict(leaf()).status == 200  # the only quick predictor is free again
    assert time.monotonic() - began < 1


def test_rq_shows_a_canceled_job_as_canceled(worker: Server) -> None:
    from redis import Redis
    from rq.registry import CanceledJobRegistry

    job_id = worker.submit(white(), "sleep5")
    wait_until_it_computes(worker, job_id)
    worker.request("DELETE", f"/jobs/{job_id}")
    queue = Redis(unix_socket_path=str(worker.state_dir / "valkey.sock"))
    assert job_id in CanceledJobRegistry("punnet", queue).get_job_ids()
