"""Identical jobs of a real server, whose processes are killed meanwhile: each is answered, and mostly by one run."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.images import white
from tests.integration.server import Server, kill, wait_until

JOBS = 20
ENDS_S = 30


@pytest.fixture(scope="module")
def joining(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("joining"), {"MODELS_DIR": models_dir, "WORKERS": 2, "JOB_WORKERS": 2})
    running.start()
    yield running
    running.stop()


def submit(server: Server, image: bytes) -> list[str]:
    """The ids of identical jobs, posted at once, the first of which runs."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: server.predict(image, "sleep2", mode="async"), range(JOBS)))
    assert {answer.status for answer in answers} == {202}
    ids = [answer.json["id"] for answer in answers]
    wait_until(lambda: running(server, ids), 10)
    return ids


def running(server: Server, ids: list[str]) -> list[str]:
    return [job_id for job_id in ids if server.job(job_id)["state"] == "processing"]


def runs(server: Server, ids: list[str]) -> int:
    """How many runs the results of all these jobs come from: no two take the same time."""
    jobs = [server.job(job_id, wait_s=ENDS_S) for job_id in ids]
    assert {job["state"] for job in jobs} == {"succeeded"}
    return len({job["timings_ms"]["inference"] for job in jobs})


def test_identical_jobs_are_computed_once_though_one_is_canceled(joining: Server) -> None:
    ids = submit(joining, white(64))
    [first] = running(joining, ids)
    assert joining.request("DELETE", f"/jobs/{first}").json["state"] == "canceled"
    assert runs(joining, [job_id for job_id in ids if job_id != first]) == 1


@pytest.mark.parametrize("role", ["worker", "web process"])
def test_a_kill_costs_none_of_them(joining: Server, role: str) -> None:
    ids = submit(joining, white(65 if role == "worker" else 66))
    for pid in joining.pids()[role]:
        kill(pid)
    wait_until(lambda: joining.get("/readyz").status == 200 or None, 20)
    assert runs(joining, ids) == 1
