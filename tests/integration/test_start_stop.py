"""start.sh and stop.sh as an operator meets them."""

import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from ops import queue_server
from predictors.priority import NICENESS
from settings import ROOT
from tests.integration.images import leaf, white
from tests.integration.server import Answer, Server, free_port, kill, wait_until
from tests.onnx_models import classifier


def test_start_prints_a_curl_line_that_works(own_server: Server, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a+b & 50% 잎.jpg").write_bytes(leaf())
    own_server.settings["IMAGE_ROOT"] = images
    printed = own_server.start().stdout
    line = next(line for line in printed.splitlines() if "curl" in line)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert '"label":"healthy"' in done.stdout


def test_one_slow_model_keeps_no_other_from_being_served_at_the_first_start(own_server: Server, tmp_path: Path) -> None:
    """Its trial takes long and its name sorts first; a start waits 15 s where another model is ready."""
    models = tmp_path / "models"
    for name in ("aaa", "quick"):
        classifier(models / name / "model.onnx")
    (models / "aaa" / "hooks.py").write_text("import time; time.sleep(20)\n"
                                             "def postprocess(outputs, context): return []")
    own_server.settings["MODELS_DIR"], own_server.knows_trials = models, False
    began, printed = time.monotonic(), list[str]()
    starting = threading.Thread(target=lambda: printed.append(own_server.start().stdout))
    starting.start()
    wait_until(lambda: own_server.predict(leaf(), "quick").status == 200 or None, 14)
    assert own_server.get("/readyz").is_problem(503, "starting")
    assert own_server.predict(leaf(), "aaa").is_problem(503, "model-loading")
    starting.join()
    assert 15 < time.monotonic() - began < 30
    assert "tried and loaded, served as soon as that is done: aaa" in printed[0]
    wait_until(lambda: own_server.predict(leaf(), "aaa").status == 200 or None, 40)


def test_started_twice_says_so_and_starts_nothing(own_server: Server) -> None:
    own_server.settings["WORKERS"] = 1  # a second web process may be forked after the start says that it is ready
    own_server.start()
    before = own_server.pids()
    again = own_server.start()
    assert "running already" in again.stdout
    own_server.settings["BIND"] = "127.0.0.1:1"
    elsewhere = own_server.start(check=False)
    assert elsewhere.returncode == 1
    assert f"runs already, at http://127.0.0.1:{own_server.port}; to have it at" in elsewhere.stdout
    assert own_server.pids() == before


def test_stop_without_a_start_is_fine(own_server: Server) -> None:
    assert "not running" in own_server.stop().stdout


def test_two_run_side_by_side(own_server: Server, tmp_path: Path, models_dir: Path) -> None:
    other = Server(tmp_path / "b é $HOME", {"MODELS_DIR": models_dir})
    other.home.mkdir()
    try:
        own_server.start()
        other.start()
        assert other.job(other.submit(leaf(), "strawberry"), wait_s=30)["state"] == "succeeded"
        own_server.stop()
        assert other.predict(leaf()).status == 200
        assert own_server.pids() == {}
    finally:
        other.stop()
    assert other.pids() == {}


@pytest.mark.parametrize(("settings", "named"), [
    ({"QUICK_MS": "fast"}, "PUNNET_QUICK_MS"),
    ({"BIND": "0.0.0.0:4958"}, "PUNNET_API_KEYS"),
    ({"BIND": "somewhere"}, "PUNNET_BIND"),
    ({"STATE_DIR": "/tmp/" + "x" * 100}, "PUNNET_STATE_DIR"),
    ({"LOG_DIR": "/tmp/100%"}, "PUNNET_LOG_DIR"),
    ({"REDIS_URL": "http://localhost"}, "PUNNET_REDIS_URL")])
def test_a_wrong_setting_stops_the_start_with_one_line(own_server: Server, settings: dict[str, str],
                                                       named: str) -> None:
    own_server.settings |= settings
    done = own_server.start(check=False)
    for name in settings:
        del own_server.settings[name]  # the fixture's stop is to work
    assert done.returncode == 1
    assert len(done.stdout.strip().splitlines()) == 1
    assert named in done.stdout


def test_a_port_in_use_stops_the_start_with_one_line(own_server: Server) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own_server.port))
        taken.listen()
        done = own_server.start(check=False)
    assert done.returncode == 1
    assert len(done.stdout.strip().splitlines()) == 1
    assert f"PUNNET_BIND=127.0.0.1:{own_server.port}" in done.stdout
    assert own_server.pids() == {}


def test_budget_zero_makes_every_image_a_job(own_server: Server) -> None:
    own_server.settings |= {"INLINE_BUDGET_MS": 0, "QUICK_MS": 0}
    own_server.start()
    answer = own_server.predict(leaf())
    assert answer.status == 202
    assert own_server.job(answer.json["id"], wait_s=30)["state"] == "succeeded"


def test_an_outside_queue_server_is_used(own_server: Server, tmp_path: Path) -> None:
    port = free_port()
    outside = subprocess.Popen([queue_server.find(), "--port", str(port), "--save", "", "--dir", str(tmp_path)],
                               stdout=subprocess.DEVNULL)
    try:
        own_server.settings["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
        own_server.start()
        assert "valkey" not in own_server.pids()
        assert own_server.job(own_server.submit(leaf(), "strawberry"), wait_s=30)["state"] == "succeeded"
    finally:
        own_server.stop()
        outside.terminate()
        outside.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_foreground_service_in_order(own_server: Server, number: int) -> None:
    own_server.prepare()
    process = subprocess.Popen([str(ROOT / "start.sh"), "--foreground"], env=own_server.environment, cwd="/",
                               stdout=subprocess.PIPE, text=True)
    wait_until(lambda: own_server.get("/readyz").status == 200 or None, 60)
    job_id = own_server.submit(leaf(), "strawberry")
    assert own_server.job(job_id, wait_s=30)["state"] == "succeeded"
    process.send_signal(number)
    printed, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Punnet is stopped" in printed
    assert own_server.pids() == {}


def test_term_before_it_is_ready_leaves_nothing_of_a_foreground_service(own_server: Server) -> None:
    process = subprocess.Popen([str(ROOT / "start.sh"), "--foreground"], env=own_server.environment, cwd="/")
    wait_until(lambda: "supervisord" in own_server.pids() or None, 20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    assert own_server.pids() == {}


def test_stopping_answers_everybody_and_loses_nothing(own_server: Server) -> None:
    """A 5-s inline call, a running job, a waiting caller and an idle connection; the stop ends within 10 s."""
    own_server.settings |= {"INLINE_BUDGET_MS": 60_000, "WORKERS": 1}  # another may hear of the stop 0.1 s later
    own_server.start()
    answers: dict[str, Answer] = {}
    idle = http.client.HTTPConnection("127.0.0.1", own_server.port)
    idle.request("GET", "/livez")
    idle.getresponse().read()
    running = own_server.submit(white(), "sleep5")
    queued = own_server.submit(leaf(), "strawberry")
    own_server.wait_for_state(running, "processing")
    inline_s: list[float] = []

    def call_inline() -> None:
        called = time.monotonic()
        answers.update(inline=own_server.predict(white(), "sleep5"))
        inline_s.append(time.monotonic() - called)

    clients = [
        threading.Thread(target=call_inline),
        threading.Thread(target=lambda: answers.update(waiting=own_server.get(f"/jobs/{queued}?wait=60"))),
    ]
    for client in clients:
        client.start()
    time.sleep(0.5)  # let both requests arrive: nothing outside tells when they have
    began = time.monotonic()
    stopper = threading.Thread(target=own_server.stop)
    stopper.start()
    wait_until(lambda: own_server.get("/readyz").is_problem(503, "draining") or None, 3)
    wait_until(lambda: own_server.predict(leaf()).is_problem(503, "draining") or None, 5)
    stopper.join(timeout=60)
    took_s = time.monotonic() - began
    for client in clients:
        client.join(timeout=5)
    print(f"stopped after {took_s:.1f} s")
    assert answers["inline"].status == 200
    assert (answers["waiting"].status, answers["waiting"].json["state"]) == (200, "queued")
    assert own_server.pids() == {}
    own_server.start()
    own_server.wait_for_state(queued, "succeeded", 15)
    job_s = own_server.wait_for_state(running, "succeeded", 15)["timings_ms"]["inference"] / 1000
    assert took_s < 10 + max(0, inline_s[0] - 5, job_s - 5)  # a slower machine's five seconds are longer


def test_a_job_that_outlasts_the_patience_is_requeued_and_not_failed(own_server: Server) -> None:
    own_server.settings["STOP_TIMEOUT_S"] = 1
    own_server.start()
    job_id = own_server.submit(white(), "sleep5")
    own_server.wait_for_state(job_id, "processing")
    own_server.stop()
    own_server.start()
    assert own_server.wait_for_state(job_id, "succeeded", 20)["status"] == 200


def test_web_processes_workers_and_predictors_exit_0_on_term(own_server: Server) -> None:
    own_server.start()
    wait_until(lambda: "Listening on" in (own_server.home / "logs" / "worker.log").read_text() or None, 10)
    pids = own_server.pids()
    for pid in (pids["web process"][0], pids["worker"][0], pids["quick predictor"][0]):
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: set(own_server.pids()["worker"]).isdisjoint(pids["worker"]) or None, 10)
    wait_until(lambda: pids["web process"][0] not in own_server.pids()["web process"] or None, 10)
    wait_until(lambda: pids["quick predictor"][0] not in own_server.pids()["quick predictor"] or None, 10)
    worker_log = (own_server.home / "logs" / "worker.log").read_text()
    error_log = (own_server.home / "logs" / "error.log").read_text()
    assert "takes its place" not in worker_log
    assert f"Worker exiting (pid: {pids['web process'][0]})" in error_log
    assert "was sent SIG" not in error_log
    assert "exited with code" not in error_log


def test_all_programs_share_a_session_so_that_priorities_count(own_server: Server) -> None:
    """The kernel's autogroup weighs sessions against each other before it looks at nice values."""
    own_server.start()
    pids = own_server.pids()
    assert len({os.getsid(pid) for role in pids.values() for pid in role}) == 1
    for group, niceness in ({"quick": 0} | NICENESS).items():
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in pids[f"{group} predictor"]} == {niceness}
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in pids["worker"]} == {10}
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in pids["web process"]} == {0}


def test_a_queue_file_with_a_garbage_tail_is_kept_and_mended_by_the_command_that_is_told(own_server: Server) -> None:
    own_server.start()
    job_id = own_server.submit(leaf(), "strawberry")
    own_server.wait_for_state(job_id, "succeeded")
    own_server.stop()
    tail = next((own_server.state_dir / "valkey" / "appendonlydir").glob("*.incr.aof"))
    with tail.open("ab") as file:
        file.write(b"garbage\r\n" * 20)
    done = own_server.start(check=False)
    assert done.returncode == 1
    line = done.stdout.strip().splitlines()[-1]
    assert str(tail.parent.parent) in line
    assert tail.read_bytes().endswith(b"garbage\r\n")
    assert own_server.pids() == {}
    subprocess.run(line.partition("with: ")[2], shell=True, input="y\n", text=True, check=True)
    own_server.start()
    assert own_server.job(job_id)["state"] == "succeeded"


def test_a_killed_supervisors_children_end_with_it(own_server: Server) -> None:
    own_server.start()
    kill(own_server.pids()["supervisord"][0])
    wait_until(lambda: own_server.pids() == {} or None, 5)


def test_reload_follows_models_while_running(own_server: Server, tmp_path: Path) -> None:
    models = tmp_path / "models"
    classifier(models / "first" / "model.onnx")
    own_server.settings["MODELS_DIR"] = models
    own_server.start("--reload")
    classifier(models / "second" / "model.onnx")

    def follows(mode: str) -> bool:
        """A process of before the change may still answer, or take the job: then it is asked again."""
        answer = own_server.predict(leaf(), "second", mode=mode)
        return answer.status == 200 or (answer.status == 202 and own_server.job(answer.json["id"], 10)["status"] == 200)

    for mode in ("auto", "async"):
        assert wait_until(partial(follows, mode), 30)
