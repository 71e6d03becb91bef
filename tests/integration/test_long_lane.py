"""The long lane's processes: what becomes of a call whose process dies, loops, or is not there."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.pictures import leaf, white
from tests.integration.server import Answer, Server, kill, wait_until
from tests.onnx_models import classifier

LOOPS_ON_WHITE = """\
import numpy as np


def preprocess(image):
    while image.min() > 250:
        pass
    return np.zeros((1, 3, 32, 32), np.float32)
"""
JOB_TIMEOUT_S = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """The models of all tests, and one that loops on a white picture."""
    folder = tmp_path_factory.mktemp("lane-models")
    for model in models_dir.iterdir():
        (folder / model.name).symlink_to(model)
    classifier(folder / "loops" / "model.onnx")
    (folder / "loops" / "hooks.py").write_text(LOOPS_ON_WHITE)
    return folder


@pytest.fixture
def lane(own_server: Server, folder: Path) -> Server:
    """One process of gunicorn's and one of the lane's, which takes every picture."""
    own_server.settings |= {"MODELS_DIR": folder, "WORKERS": 1, "QUICK_MS": 0}
    return own_server


@pytest.fixture
def patient(lane: Server) -> Server:
    """It lets inline work take its time."""
    lane.settings |= {"INLINE_BUDGET_MS": 60_000}
    return started(lane)


def started(server: Server) -> Server:
    """With the lane's process listening."""
    server.start()
    wait_until(lambda: was_computed_in_the_lane(server), 10)
    return server


def was_computed_in_the_lane(server: Server) -> bool:
    before = ticks(server)
    assert all(server.predict(leaf()).status == 200 for _ in range(10))
    return ticks(server) > before


def ticks(server: Server) -> int:
    """Of the processor, that the lane's process has used: a tick is 10 ms."""
    [pid] = server.pids()["lane process"]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture
def in_background() -> Iterator[Callable[[Callable[[], Answer]], list[Answer]]]:
    threads: list[threading.Thread] = []

    def call(what: Callable[[], Answer]) -> list[Answer]:
        answers: list[Answer] = []
        threads.append(threading.Thread(target=lambda: answers.append(what())))
        threads[-1].start()
        return answers

    yield call
    for thread in threads:
        thread.join()


def test_a_call_whose_process_is_killed_is_answered(
        patient: Server, in_background: Callable[[Callable[[], Answer]], list[Answer]]) -> None:
    before = ticks(patient)
    answers = in_background(lambda: patient.predict(white(), "sleep2"))
    wait_until(lambda: ticks(patient) > before + 20, 5)
    kill(patient.pids()["lane process"][0])
    [answer] = wait_until(lambda: answers, 15)
    assert (answer.status, len(answer.json["result"]["predictions"])) == (200, 2)


def test_job_workers_do_not_keep_the_lanes_socket_open(patient: Server) -> None:
    path = str(patient.state_dir / "lane.sock")
    of_lane = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines() if line.endswith(path)}
    roles = patient.pids()
    assert of_lane & sockets(roles["lane process"][0])
    assert not of_lane & sockets(roles["worker child"][0])


def sockets(pid: int) -> set[str]:
    """Their inodes."""
    links = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return {link[len("socket:["):-1] for link in links if link.startswith("socket:[")}


def test_pictures_are_answered_while_the_lane_is_away(patient: Server) -> None:
    kill(patient.pids()["worker"][0])
    killed_at = time.monotonic()
    while time.monotonic() < killed_at + 2:
        assert patient.predict(leaf()).status == 200
    wait_until(lambda: was_computed_in_the_lane(patient), 10)


@pytest.mark.parametrize(("fields", "limit_s"), [({"timeout": "1"}, 1), ({}, JOB_TIMEOUT_S)],
                         ids=["its caller's", "that of jobs"])
def test_a_loop_in_hooks_ends_at_its_time_limit_and_costs_nobody_else(
        lane: Server, fields: dict, limit_s: float) -> None:
    lane.settings |= {"INLINE_BUDGET_MS": 60_000, "JOB_TIMEOUT_S": JOB_TIMEOUT_S}
    started(lane)
    began = time.monotonic()
    assert lane.predict(white(), "loops", **fields).is_problem(504, "deadline")
    assert limit_s < time.monotonic() - began < limit_s + 1.5
    wait_until(lambda: lane.predict(leaf(), "loops", timeout="1").status == 200, 15)


def test_a_loop_in_hooks_that_became_a_job_ends_at_the_jobs_time_limit(lane: Server) -> None:
    lane.settings |= {"JOB_TIMEOUT_S": JOB_TIMEOUT_S}
    answer = started(lane).predict(white(), "loops")
    assert answer.status == 202
    job = lane.job(answer.json["id"], wait_s=JOB_TIMEOUT_S + 10)
    assert (job["state"], job["error"]["type"]) == ("failed", "/problems/deadline")
    wait_until(lambda: lane.predict(leaf(), "loops", timeout="1").status == 200, 15)
