"""Work that takes longer than was predicted, longer than its caller gives it, or than he stays."""

import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.images import leaf, white
from tests.integration.server import BOUNDARY, Server, kill, multipart, wait_until


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    """One web process and one predictor a group, the usual budget: white images take long."""
    running = Server(tmp_path_factory.mktemp("impatient"), {"MODELS_DIR": models_dir, "WORKERS": 1, "PREDICTORS": 1})
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    """One predictor a group, which may take its time inline."""
    settings = {"MODELS_DIR": models_dir, "WORKERS": 1, "PREDICTORS": 1, "INLINE_BUDGET_MS": 60_000}
    running = Server(tmp_path_factory.mktemp("patient"), settings)
    running.start()
    yield running
    running.stop()


def was_run_by_a_worker(server: Server, job_id: str) -> bool:
    return job_id in (server.home / "logs" / "worker.log").read_text()


def test_inline_work_that_outlasts_twice_the_budget_goes_on_as_a_job(impatient: Server) -> None:
    began = time.monotonic()
    answer = impatient.predict(white(), "sleep2")
    assert answer.status == 202
    assert time.monotonic() - began < 1.5
    assert answer.json["state"] == "processing"
    job = impatient.job(answer.json["id"], wait_s=30)
    assert (job["state"], job["status"], len(job["result"]["predictions"])) == ("succeeded", 200, 2)
    assert time.monotonic() - began < 4.5  # the sleeper's two seconds, once
    assert not was_run_by_a_worker(impatient, job["id"])
    drawn = impatient.get(f"/jobs/{job['id']}/result", headers={"Accept": "image/png"})
    assert drawn.body.startswith(b"\x89PNG")


def test_who_wants_to_wait_for_it_gets_its_answer(impatient: Server) -> None:
    answer = impatient.predict(white(), "sleep2", mode="sync")
    assert (answer.status, answer.json["route"]) == (200, "queue")
    assert answer.json["timings_ms"]["inference"] > 1000


def test_what_waits_behind_it_becomes_a_job_of_the_workers(impatient: Server) -> None:
    first = impatient.predict(white(), "sleep5")
    behind = impatient.predict(leaf(), "strawberry")
    assert (first.status, behind.status) == (202, 202)
    assert impatient.job(behind.json["id"], wait_s=30)["state"] == "succeeded"
    assert was_run_by_a_worker(impatient, behind.json["id"])
    assert impatient.job(first.json["id"], wait_s=30)["state"] == "succeeded"


def test_a_job_whose_process_is_killed_is_run_from_its_stored_image(own_server: Server) -> None:
    own_server.settings |= {"WORKERS": 1}
    own_server.start()
    job_id = own_server.predict(white(), "sleep5").json["id"]
    kill(own_server.pids()["web process"][0])
    job = wait_until(lambda: job if (job := own_server.job(job_id))["state"] == "succeeded" else None, 60)
    assert job["result"]["predictions"]
    assert was_run_by_a_worker(own_server, job_id)


def test_a_stop_waits_for_what_goes_on_as_a_job(own_server: Server) -> None:
    own_server.start()
    job_id = own_server.predict(white(), "sleep2").json["id"]
    own_server.stop()
    own_server.start()
    assert own_server.job(job_id)["state"] == "succeeded"
    assert not was_run_by_a_worker(own_server, job_id)


@pytest.mark.parametrize(("fields", "headers"), [({"timeout": "0.5"}, {}), ({}, {"Cancel-After": "500ms"})])
def test_running_inline_work_is_stopped_at_its_deadline(patient: Server, fields: dict, headers: dict) -> None:
    began = time.monotonic()
    assert patient.predict(white(), "sleep5", headers, **fields).is_problem(504, "deadline")
    assert time.monotonic() - began < 3  # the sleeper's five seconds were not waited for
    assert patient.predict(leaf()).json["timings_ms"]["queue"] < 1000  # its predictor is free again


def test_a_job_that_cannot_begin_in_time_is_not_begun(patient: Server) -> None:
    running = patient.submit(white(), "sleep5")
    patient.wait_for_state(running, "processing")
    began = time.monotonic()
    late = patient.predict(leaf(), "strawberry", {"Prefer": "respond-async, wait=20"}, timeout="1")
    assert late.is_problem(504, "deadline")
    assert time.monotonic() - began < 4  # the job before it was not waited for
    assert patient.job(running, wait_s=30)["state"] == "succeeded"


def test_a_running_job_is_stopped_at_its_deadline(patient: Server) -> None:
    answer = patient.predict(white(), "sleep5", mode="async", timeout="1.5s")
    job = patient.job(answer.json["id"], wait_s=30)
    assert (job["state"], job["status"], job["error"]["type"]) == ("failed", 504, "/problems/deadline")


def test_a_caller_who_hangs_up_stops_the_run(patient: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", patient.port)
    body = multipart({"model_type": "sleep5"}, white())
    connection.request("POST", "/predict", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    time.sleep(0.5)  # it runs; nothing outside tells so
    connection.close()
    began = time.monotonic()
    assert patient.predict(leaf()).status == 200
    assert time.monotonic() - began < 3  # of five seconds
    wait_until(lambda: " 499 " in (patient.home / "logs" / "access.log").read_text(), 5)


@pytest.mark.parametrize("length", ["soon", "-1", "0", "1d", ""])
def test_a_length_of_time_that_is_none_is_refused(patient: Server, length: str) -> None:
    assert patient.predict(leaf(), "strawberry", {"Cancel-After": length}).is_problem(400, "bad-request")
