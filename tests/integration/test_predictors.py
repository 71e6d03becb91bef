"""A predictor dies, crashes, loops or is away: what becomes of the calls, and of everybody else's."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.images import leaf, white
from tests.integration.server import Answer, Server, kill, wait_until
from tests.onnx_models import classifier

ON_WHITE = """\
import numpy as np, os, signal


def preprocess(image):
    {what}
    return np.zeros((1, 3, 32, 32), np.float32)
"""
LOOP = "while image.min() > 250: pass"
CRASH = "image.min() > 250 and os.kill(os.getpid(), signal.SIGSEGV)"
JOB_TIMEOUT_S = 3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """The models of all tests, one that loops on a white image, and one that crashes on it."""
    folder = tmp_path_factory.mktemp("odd-models")
    for model in models_dir.iterdir():
        (folder / model.name).symlink_to(model)
    for name, what in (("loops", LOOP), ("crashes", CRASH)):
        classifier(folder / name / "model.onnx")
        (folder / name / "hooks.py").write_text(ON_WHITE.format(what=what))
    return folder


@pytest.fixture
def single(own_server: Server, models: Path) -> Server:
    """One web process and one predictor a group."""
    own_server.settings |= {"MODELS_DIR": models, "WORKERS": 1, "PREDICTORS": 1, "INLINE_BUDGET_MS": 60_000}
    return own_server


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("crashing"), {"MODELS_DIR": models, "WORKERS": 2, "PREDICTORS": 1})
    running.start()
    yield running
    running.stop()


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


@pytest.mark.parametrize("role", ["quick predictor", "template", "predictors' parent"])
def test_a_call_whose_predictor_is_killed_is_answered(
        single: Server, role: str, in_background: Callable[[Callable[[], Answer]], list[Answer]]) -> None:
    single.start()
    answers = in_background(lambda: single.predict(white(), "sleep2"))
    time.sleep(0.7)  # it runs; nothing outside tells so
    kill(single.pids()[role][0])
    killed_at = time.monotonic()
    [answer] = wait_until(lambda: answers, 15)
    assert (answer.status, len(answer.json["result"]["predictions"])) == (200, 2)
    while time.monotonic() < killed_at + 3:
        assert single.predict(leaf()).status == 200


@pytest.mark.parametrize(("fields", "limit_s"), [({"timeout": "1"}, 1), ({}, JOB_TIMEOUT_S)],
                         ids=["its caller's", "that of jobs"])
def test_a_loop_in_hooks_ends_at_its_time_limit_and_costs_nobody_else(
        single: Server, fields: dict, limit_s: float) -> None:
    single.settings |= {"JOB_TIMEOUT_S": JOB_TIMEOUT_S}
    single.start()
    [predictor] = single.pids()["quick predictor"]
    began = time.monotonic()
    assert single.predict(white(), "loops", **fields).is_problem(504, "deadline")
    assert limit_s < time.monotonic() - began < limit_s + 1.5
    wait_until(lambda: single.pids()["quick predictor"] != [predictor] or None, 8)
    assert single.predict(leaf(), "loops").status == 200


def test_a_loop_in_hooks_that_became_a_job_ends_at_the_jobs_time_limit(single: Server) -> None:
    single.settings |= {"JOB_TIMEOUT_S": JOB_TIMEOUT_S, "INLINE_BUDGET_MS": 250}
    single.start()
    answer = single.predict(white(), "loops")
    assert answer.status == 202
    job = single.job(answer.json["id"], wait_s=JOB_TIMEOUT_S + 10)
    assert (job["state"], job["error"]["type"]) == ("failed", "/problems/deadline")
    wait_until(lambda: single.predict(leaf(), "loops", timeout="1").status == 200, 15)


def test_an_image_that_crashes_predictors_costs_itself_only(crashing: Server) -> None:
    before = {role: crashing.pids()[role] for role in ("web process", "worker", "gunicorn", "template")}
    poison = crashing.predict(white(), "crashes")
    assert poison.is_problem(500, "poison-image")
    assert {role: crashing.pids()[role] for role in before} == before
    assert crashing.predict(leaf(), "crashes").status == 200
    assert crashing.predict(white(), "strawberry").status == 200  # it is no poison to another model
    log = crashing.log("predictors.log").count("SIGSEGV")
    assert crashing.predict(white(), "crashes").is_problem(500, "poison-image")
    assert crashing.log("predictors.log").count("SIGSEGV") == log == 2  # nobody tried it again


def test_a_job_on_an_image_that_crashes_predictors_fails_as_poison(crashing: Server) -> None:
    job = crashing.job(crashing.submit(white(33), "crashes"), wait_s=30)
    assert (job["state"], job["status"], job["error"]["type"]) == ("failed", 500, "/problems/poison-image")
    assert crashing.log("predictors.log").count("job-") >= 2
    assert crashing.job(crashing.submit(leaf(), "crashes"), wait_s=30)["state"] == "succeeded"
