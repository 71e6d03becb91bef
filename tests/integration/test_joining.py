"""Identical jobs of a real server, whose processes are killed meanwhile: each is answered, and mostly by one run."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.images import photograph, white
from tests.integration.server import Server, kill, wait_until

JOBS = 20
ENDS_S = 30


@pytest.fixture(scope="module")
def joining(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("joining"), {"MODELS_DIR": models_dir, "WORKERS": 2, "JOB_WORKERS": 2})
    running.start()
    yield running
    running.stop()


def submit(server: Server, image: bytes, model: str = "sleep2") -> list[str]:
    """The ids of identical jobs, posted at once."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: server.predict(image, model, mode="async"), range(JOBS)))
    assert {answer.status for answer in answers} == {202}
    return [answer.json["id"] for answer in answers]


def runs(server: Server, ids: list[str]) -> int:
    """How many runs the results of all these jobs come from: no two take the same time."""
    jobs = [server.job(job_id, wait_s=ENDS_S) for job_id in ids]
    assert {job["state"] for job in jobs} == {"succeeded"}
    return len({job["timings_ms"]["inference"] for job in jobs})


def test_identical_large_images_are_computed_once(joining: Server) -> None:
    image = photograph(50)
    ids = submit(joining, image, "strawberry-fruit" if "strawberry-fruit" in joining.get("/models").body.decode() else
                 "strawberry")
    assert runs(joining, ids) == 1


def test_a_killed_worker_costs_one_more_run_and_no_job(joining: Server) -> None:
    ids = submit(joining, white(65))
    wait_until(lambda: "processing" in states(joining, ids), 10)
    for worker in joining.pids()["worker"]:
        kill(worker)
    assert runs(joining, ids) == 1


def states(server: Server, ids: list[str]) -> Counter[str]:
    return Counter(server.job(job_id)["state"] for job_id in ids)
